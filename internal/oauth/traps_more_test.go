package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/keyring"
	"github.com/portico-id/portico/internal/oauth/requestobject"
	"github.com/portico-id/portico/internal/realm"
)

// fosite's getters fill what is empty, while other requests read it.
func TestAskingFositesConfigurationChangesNothing(t *testing.T) {
	cfg := &configurator{Config: baseConfig()}
	ctx := context.WithValue(context.Background(), unitKey{}, &unit{realm: testRealm(t, "patient")})
	before := *cfg.Config
	value := reflect.ValueOf(cfg.Config)
	for i := range value.NumMethod() {
		m := value.Type().Method(i)
		if strings.HasPrefix(m.Name, "Get") && m.Type.NumIn() == 2 && m.Name != "GetJWKSFetcherStrategy" { // see configurator
			value.Method(i).Call([]reflect.Value{reflect.ValueOf(ctx)})
		}
	}
	after := reflect.ValueOf(*cfg.Config)
	for i := range after.NumField() {
		now, then := after.Field(i), reflect.ValueOf(before).Field(i)
		if !now.CanInterface() || now.Kind() == reflect.Func {
			if now.Kind() == reflect.Func && now.IsNil() != then.IsNil() {
				t.Errorf("%s was filled by its getter", after.Type().Field(i).Name)
			}
			continue
		}
		if !reflect.DeepEqual(now.Interface(), then.Interface()) {
			t.Errorf("%s was filled by its getter: %v", after.Type().Field(i).Name, now)
		}
	}
}

// The race detector sees what the test above cannot: run with -race.
func TestManyRequestsOfTwoRealmsAtOnceGetTheirOwnIssuer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, db *database.DB) {
		one, two := newWorldIn(t, db, testRealm(t, "patient")), newWorldIn(t, db, testRealm(t, "practice"))
		two.p = one.p
		var wg sync.WaitGroup
		for i := range 16 {
			w := []*world{one, two}[i%2]
			wg.Go(func() {
				r := w.send("/oauth/token", "service", url.Values{"grant_type": {"client_credentials"}})
				if r.Status != 200 || claims(t, r.get("access_token"))["iss"] != w.r.Issuer {
					t.Errorf("%s: %d %s", w.r.Name, r.Status, r.Body)
				}
			})
		}
		wg.Wait()
	})
}

func TestAMultipartBodyIsReadNowhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		code := w.code("portal")
		var body bytes.Buffer
		m := multipart.NewWriter(&body)
		for name, values := range exchange("portal", code) {
			_ = m.WriteField(name, values[0])
		}
		_ = m.WriteField("token", "x")
		_ = m.WriteField("padding", strings.Repeat("x", 1<<20))
		_ = m.Close()
		for _, path := range []string{pathToken, pathPAR, pathRevoke, pathIntrospect} {
			w.expect(path, w.do(context.Background(), "POST", path, http.Header{"Authorization": {basic("portal", testSecret)},
				"Content-Type": {m.FormDataContentType()}}, body.String()), 400, errInvalidRequest)
		}
		for _, path := range []string{pathAuthorize, pathLogout} {
			if r := w.do(context.Background(), "POST", path, http.Header{"Content-Type": {m.FormDataContentType()}}, body.String()); r.Status != 400 || r.Header.Get("Location") != "" {
				t.Errorf("%s: %d %s", path, r.Status, r.Header.Get("Location"))
			}
		}
		if r := w.redeem("portal", code); r.Status != 200 {
			t.Errorf("the code was burnt: %s", r.Body)
		}
	})
}

func TestASecretInTheQueryOfAnyEndpointAuthenticatesNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		q := "?client_id=poster&client_secret=" + url.QueryEscape(testSecret)
		for _, path := range []string{pathToken, pathPAR, pathRevoke, pathIntrospect} {
			w.expect(path, w.do(context.Background(), "POST", path+q, nil, "grant_type=refresh_token&refresh_token=x&token=x"), 400, errInvalidRequest)
		}
	})
}

func TestAHintSignedByTheKeyBeforeIsStillUnderstood(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		hint := w.tokens("portal").get("id_token")
		if err := w.p.keys.Rotate(t.Context(), w.r); err != nil {
			t.Fatal(err)
		}
		dbtest.Advance(w.db, keyring.PublishAhead+time.Minute)
		w.signIn(w.account)
		form := request("portal", "prompt=none", "id_token_hint="+hint)
		if q := w.answered(w.authorize(form), form); q.Get("code") == "" {
			t.Errorf("%v", q)
		}
	})
}

// fosite's validator drops an array: whoever is one of several would be nobody.
func TestATokenForSeveralIsForEachOfThemAndForNobodyElse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		at := w.tokens("portal", "scope=openid admin.read").get("access_token")
		if _, several := claims(t, at)["aud"].([]any); !several {
			t.Fatalf("aud %v", claims(t, at)["aud"])
		}
		for audience, good := range map[string]bool{w.r.Issuer: true, testAPI: true, testAPI + "/": false, "https://api.example.test": false, "": false, "portal": false} {
			if _, err := w.p.VerifyAccessToken(context.Background(), w.r, at, audience); (err == nil) != good {
				t.Errorf("%q: %v", audience, err)
			}
		}
	})
}

func TestAuthorizationScopesAreNotWildcards(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, scope := range []string{"openid admin", "openid admin.*", "openid admin.read.all", "openid *", "openid OPENID"} {
			r := w.redeem("portal", w.code("portal", "scope="+scope))
			if r.get("scope") != "openid" || claims(t, r.get("access_token"))["scope"] != "openid" {
				t.Errorf("%s: %s", scope, r.Body)
			}
		}
	})
}

// Eight seconds are what FAPI runs send, a minute is too much.
func TestAnAssertionOfAClockThatIsSecondsOffCounts(t *testing.T) {
	for _, strict := range []bool{false, true} {
		keyed(t, func(t *testing.T, w *world) {
			for ahead, good := range map[int64]bool{8: true, 61: false} {
				now := w.db.Now(context.Background()).Unix()
				raw := signClaims(t, clientKeysOnce()["ES256"], w.assertionOf("signer", map[string]any{"iat": now + ahead, "nbf": now + ahead, "exp": now + ahead + 60}))
				r := w.withAssertion(context.Background(), pathToken, raw, url.Values{"grant_type": {"client_credentials"}})
				if (r.Status == 200) != good {
					t.Errorf("strict %v, %d s ahead: %d %s", strict, ahead, r.Status, r.Body)
				}
			}
		}, func(p *realm.OAuthPolicy) { p.StrictAssertions = strict })
	}
}

// The reaction to a theft is written although the request fails, and an
// assertion is spent by it.
func TestAThiefsReplayByAssertionEndsTheFamilyAndSpendsTheAssertion(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.signIn(w.account)
		first := w.withAssertion(ctx, pathToken, w.assertion("signer"), exchange("signer", w.code("signer")))
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.get("refresh_token")}}
		second := w.withAssertion(ctx, pathToken, w.assertion("signer"), form)
		third := w.withAssertion(ctx, pathToken, w.assertion("signer"), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second.get("refresh_token")}})
		raw := w.assertion("signer")
		w.expect("reuse", w.withAssertion(ctx, pathToken, raw, form), 400, errInvalidGrant)
		if third.Status != 200 || w.alive(third.get("access_token")) {
			t.Errorf("the family lives: %s", third.Body)
		}
		w.expect("the assertion again", w.withAssertion(ctx, pathToken, raw, url.Values{"grant_type": {"client_credentials"}}), 401, errInvalidClient)
	})
}

// fosite knows no claims parameter: nothing of its scope check covers one.
func TestASingleClaimIsNeverMoreThanTheClientsScopesOrTheConsent(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		id := w.register(map[string]any{"scope": "openid email"}).get("client_id")
		w.agreeAll(id, "openid")
		form := request(id, "scope=openid", "prompt=none", `claims={"userinfo":{"email":null},"id_token":{"phone_number":null,"secret_note":null}}`)
		if q := w.answered(w.authorize(form), form); q.Get("error") != errConsentRequired {
			t.Errorf("without consent: %v", q)
		}
	}, open)
}

func TestAStrangersMarkupOnOurPagesIsText(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		evil := `"><script>alert(1)</script>{{.}}<img src=x onerror=y>`
		r := w.register(map[string]any{"client_name": evil})
		page := w.authorize(request(r.get("client_id"), "scope=openid"))
		page = w.Get(strings.TrimPrefix(page.Location(), w.r.Path))
		if page.Status != 200 || strings.Contains(page.Body, "<script>alert") || strings.Contains(page.Body, "<img src=x") || !strings.Contains(page.Body, "&lt;script&gt;") {
			t.Errorf("consent: %d %s", page.Status, page.Body)
		}
		for _, bad := range []string{"javascript:alert(1)", "data:text/html,x", "http://rp.example.test/", `https://rp.example.test/"><script>`,
			"https://rp.example.test/ x", "https://u@rp.example.test/", "//rp.example.test/", "https:rp.example.test", "https://rp.example.test/\u202e"} {
			for _, member := range []string{"logo_uri", "policy_uri", "tos_uri", "client_uri", "initiate_login_uri"} {
				w.expect(member+" "+bad, w.registration("POST", pathRegister, "", document(map[string]any{member: bad})), 400, errClientMetadata)
			}
		}
	}, open)
}

func TestARegisteredClientCannotChooseItsNameOrAnothersToken(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		r := w.register(map[string]any{"client_id": "portal", "client_secret": "mine", "registration_access_token": "mine"})
		if !registeredID(r.get("client_id")) || r.get("client_secret") == "mine" || r.get("registration_access_token") == "mine" {
			t.Errorf("%s", r.Body)
		}
		for _, id := range []string{"portal", "dyn-", "dyn-x", "..", r.get("client_id") + "x"} {
			if got := w.registration("PUT", pathRegister+"/"+id, r.get("registration_access_token"), document(map[string]any{"client_id": id})); got.Status < 400 {
				t.Errorf("%s: %d %s", id, got.Status, got.Body)
			}
		}
	}, open)
}

func TestAQueryNeverCarriesATokenEvenInAnErrorOrWhenAskedTo(t *testing.T) {
	eachIn(t, allTypes, []*realm.Client{hybrid()}, func(t *testing.T, w *world) {
		w.signIn(w.account)
		for _, typ := range []string{"token", "id_token", "id_token token", "code token", "code id_token", "token code id_token"} {
			for _, mode := range []string{"query", "QUERY", "query.jwt", ""} {
				form := request("hybrid", "response_type="+typ, "response_mode="+mode)
				page := w.authorize(form)
				before, _, _ := strings.Cut(page.Location(), "#")
				if strings.Contains(before, "token=") || strings.Contains(before, "code=") {
					t.Errorf("%s %s: %s", typ, mode, page.Location())
				}
			}
		}
	})
}

// fosite reads whatever a request_uri answers, to the end and wherever it leads.
func TestAFetchedObjectIsNeitherEndlessNorElsewhere(t *testing.T) {
	keyed(t, func(t *testing.T, w *world) {
		w.signIn(w.account)
		s := w.publishes(true)
		id := w.register(map[string]any{"request_uris": []string{s.URL + "/good", s.URL + "/long", s.URL + "/moved"}}).get("client_id")
		w.agreeAll(id, "openid")
		inside, _ := json.Marshal(w.asObject(request(id, "scope=openid")))
		object := b64([]byte(`{"alg":"none"}`)) + "." + b64(inside) + "."
		s.set("/good", object)
		s.set("/long", object+strings.Repeat(" ", requestobject.MaxLength))
		s.set("/moved", "-> "+s.URL+"/good")
		for path, code := range map[string]string{"/good": "", "/long": errInvalidRequestURI, "/moved": errInvalidRequestURI} {
			before := s.calls.Load()
			q := w.answered(w.authorize(request(id, "scope=openid", "request_uri="+s.URL+path)), request(id))
			if q.Get("error") != code || s.calls.Load() != before+1 {
				t.Errorf("%s: %v, %d calls", path, q, s.calls.Load()-before)
			}
		}
	}, open, func(p *realm.OAuthPolicy) { p.Objects, p.RequestURIs = realm.ObjectsUnsigned, true })
}
