package oauth

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database/dbtest"
	"github.com/portico-id/portico/internal/realm"
)

// TestAClientIsCalledInTheLanguageOfThePage looks at every page that names one.
func TestAClientIsCalledInTheLanguageOfThePage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		client := func(id, name string) *realm.Client {
			c, ok := w.r.Client(id)
			if !ok {
				t.Fatal(id)
			}
			c.Names = map[string]string{"es": name}
			return c
		}
		client("portal", "Portal del Paciente").FrontchannelLogoutURI = "https://rp.example.test/frontchannel"
		client("third", "Curvas de Crecimiento")
		shown := func(what, lang, text, want, never string) {
			t.Helper()
			if !strings.Contains(text, want) || strings.Contains(text, never) {
				t.Errorf("%s in %s: %s", what, lang, text)
			}
		}

		flow := w.flowIn(w.authorize(request("portal")), "/signin")
		view, err := w.p.Describe(context.Background(), w.r, uuid.MustParse(flow), w.browserHash())
		if err != nil || view.ClientName != "Patient Portal" || view.ClientNames["es"] != "Portal del Paciente" {
			t.Errorf("%+v %v", view, err)
		}

		w.tokens("portal")
		asked := w.flowIn(w.authorize(request("third")), "/consent")
		w.agreeAll("third", "openid")
		for lang, names := range map[string][4]string{
			"es": {"Curvas de Crecimiento", "Growth Charts", "Portal del Paciente", "Patient Portal"},
			"en": {"Growth Charts", "Curvas de Crecimiento", "Patient Portal", "Portal del Paciente"},
		} {
			shown("consent", lang, w.Get("/consent?flow="+asked+"&lang="+lang).Text(), names[0], names[1])
			shown("sign-out", lang, w.Get("/oauth/logout?lang="+lang).Text(), names[2], names[3])
			shown("posted answer", lang, w.authorize(request("portal", "response_mode=form_post")).Text(), names[2], names[3])
		}
		for id, app := range w.apps(w.account) {
			if c, _ := w.r.Client(id); app.Names["es"] == "" || app.Names["es"] != c.Names["es"] {
				t.Errorf("%+v", app)
			}
		}
		names, err := w.p.AppNames(context.Background(), w.r, []string{"portal"})
		if err != nil || names["portal"].Names["es"] != "Portal del Paciente" {
			t.Errorf("%+v %v", names, err)
		}

		w.Get("/oauth/logout?lang=es")
		shown("signed out", "es", w.Post("/oauth/logout/confirm", url.Values{}).Text(), "Portal del Paciente", "Patient Portal")
	})
}

// The account's language decides where nobody clicked on one.
func TestTheSignOutPageSpeaksTheAccountsLanguageOfItsAppsToo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c, _ := w.r.Client("portal")
		c.Names = map[string]string{"es": "Portal del Paciente"}
		w.tokens("portal")
		page := w.Get("/oauth/logout")
		if page.H1() != "¿Quiere cerrar la sesión?" || !strings.Contains(page.Text(), "Portal del Paciente") || strings.Contains(page.Text(), "Patient Portal") {
			t.Errorf("%s", page.Text())
		}
		dbtest.Advance(w.db, w.r.Lifetimes.SessionIdle*2)
		if page := w.Get("/oauth/logout?ui_locales=es"); strings.Contains(page.Text(), "Portal") {
			t.Errorf("idle: %s", page.Text())
		}
	})
}

func TestAnotherNameInOneLanguageIsAnotherClientToAgreeTo(t *testing.T) {
	of := func(spanish string) string {
		return asShown(&realm.Client{ID: "third", Name: "Growth Charts", Names: map[string]string{"es": spanish}})
	}
	if of("Curvas") == of("Tablas") {
		t.Error("who was shown one name agrees to another")
	}
}
