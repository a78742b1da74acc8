package oauth

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
)

func TestTwoSectorsCannotTellThatTheyShareASession(t *testing.T) {
	eachWithLogoutOf(t, func(c *realm.Client) {
		switch c.ID {
		case "portal", "third":
			c.SubjectType, c.Sector = realm.SubjectPairwise, "one.example.test"
		case "spa":
			c.SubjectType, c.Sector = realm.SubjectPairwise, "two.example.test"
		}
	}, func(t *testing.T, w *world, e *ear) {
		w.signIn(w.account)
		raw := w.session.ID.String()
		sids := map[string]map[string]string{}
		var hint string
		for _, client := range []string{"portal", "spa", "third", "poster"} {
			r := w.tokens(client)
			next := w.renew(client, r.get("refresh_token"))
			sids[client] = map[string]string{}
			for where, token := range map[string]string{"ID token": r.get("id_token"), "access token": r.get("access_token"),
				"refreshed ID token": next.get("id_token"), "refreshed access token": next.get("access_token")} {
				sids[client][where], _ = claims(t, token)["sid"].(string)
			}
			if client == "portal" {
				hint = r.get("id_token")
			}
		}
		// The browser signs out by the hint of a pairwise client: its session is found.
		page := w.Get(logoutRequestOf(hint))
		if page.Status != 200 || w.signedIn() {
			t.Fatalf("not signed out: %d %s", page.Status, page.Location())
		}
		_, after, _ := strings.Cut(page.Body, "sid=")
		sids["third"]["frame"], _, _ = strings.Cut(after, `"`)
		if n := w.deliver(); n != 2 {
			t.Fatalf("%d logout tokens", n)
		}
		for _, token := range e.tokens() {
			got := claims(t, token)
			client, _ := got["aud"].(string)
			sids[client]["logout token"], _ = got["sid"].(string)
		}
		of := map[string]string{}
		for client, all := range sids {
			of[client] = all["ID token"]
			for where, sid := range all {
				if sid == "" || sid != of[client] {
					t.Errorf("%s, %s: %q, in the ID token %q", client, where, sid, of[client])
				}
			}
		}
		if of["portal"] == of["spa"] || of["portal"] == raw || of["spa"] == raw {
			t.Errorf("sectors can be connected: %v, the session is %s", of, raw)
		}
		if of["portal"] != of["third"] {
			t.Error("clients of one sector know two sessions")
		}
		if of["poster"] != raw {
			t.Errorf("a public client sees %s", of["poster"])
		}
		// Another session is another one.
		w.session.ID = uuid.Nil
		if again := claims(t, w.tokens("portal").get("id_token"))["sid"]; again == of["portal"] {
			t.Error("two sessions have one sid")
		}
	})
}

// A sid that a client made up, or that another sector was told, is no proof.
func TestASidOfAnotherSectorSignsNobodyOut(t *testing.T) {
	eachWithLogoutOf(t, func(c *realm.Client) {
		if c.ID == "portal" || c.ID == "spa" {
			c.SubjectType, c.Sector = realm.SubjectPairwise, c.ID+".example.test"
		}
	}, func(t *testing.T, w *world, _ *ear) {
		hint := w.tokens("portal").get("id_token")
		spa, _ := w.r.Client("spa")
		portal, _ := w.r.Client("portal")
		l, err := w.p.readLogout(t.Context(), w.r, url.Values{"id_token_hint": {hint}})
		if err != nil || !w.p.trusted(w.r, l, &w.session) {
			t.Fatal("its own hint", err)
		}
		l.client = spa
		if w.p.trusted(w.r, l, &w.session) {
			t.Error("a hint of one sector counts for another")
		}
		l.client = portal
		l.hint.SessionID, l.hint.Subject = w.session.ID.String(), w.account.String()
		if w.p.trusted(w.r, l, &w.session) {
			t.Error("what the server knows a session by counts for a pairwise client")
		}
	})
}

func TestWhatWasQueuedBeforeSessionsHadPseudonymsIsDelivered(t *testing.T) {
	eachWithLogout(t, func(t *testing.T, w *world, e *ear) {
		w.tokens("portal")
		sid := w.session.ID
		if err := w.p.sessions.End(context.Background(), sid, "x"); err != nil {
			t.Fatal(err)
		}
		w.exec(`UPDATE logout_deliveries SET sid = ''`)
		if w.deliver() != 1 || claims(t, e.tokens()[0])["sid"] != sid.String() {
			t.Errorf("%v", e.tokens())
		}
	})
}

func TestAnAppOnThisMachineIsNoSector(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		s := w.publishes(true)
		for what, uris := range map[string][]string{
			"loopback address": {"http://127.0.0.1/cb"}, "loopback IPv6": {"http://[::1]/cb"}, "localhost": {"http://localhost/cb"},
			"a scheme": {"com.example.app:/cb"}, "a scheme with a host": {"com.example.app://app/cb"},
			"TLS on this machine": {"https://localhost/cb"}, "one of several": {"https://rp.example.test/cb", "http://127.0.0.1/cb"},
		} {
			native := map[string]any{"application_type": "native", "token_endpoint_auth_method": "none", "redirect_uris": uris, "subject_type": "pairwise"}
			r := w.registration("POST", "/oauth/register", "", document(native))
			w.expect(what, r, http.StatusBadRequest, errClientMetadata)
			list, err := json.Marshal(uris)
			if err != nil {
				t.Fatal(err)
			}
			s.set("/sector", string(list))
			native["sector_identifier_uri"] = s.URL + "/sector"
			w.expect(what+", with a sector", w.registration("POST", "/oauth/register", "", document(native)), 201, "")
			delete(native, "sector_identifier_uri")
			native["subject_type"] = "public"
			w.expect(what+", public", w.registration("POST", "/oauth/register", "", document(native)), 201, "")
		}
	}, open)
}
