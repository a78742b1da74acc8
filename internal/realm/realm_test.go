package realm_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/realm"
)

func build(t *testing.T, name, issuer string, clients ...*realm.Client) *realm.Realm {
	t.Helper()
	r, err := realm.New(realm.Realm{Name: name, Issuer: issuer, Kind: realm.Kind(name)}, clients)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestIssuersThatInviteTroubleAreRefused(t *testing.T) {
	for _, good := range []string{
		"https://id.example.test", "https://id.example.test/patient", "https://id.example.test:8443/a/b",
		"http://localhost:9000/patient", "http://127.0.0.1:9000/patient", "http://[::1]:9000",
	} {
		if _, err := realm.CheckIssuer(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "id.example.test", "/patient", "mailto:a@b", "ftp://id.example.test",
		"http://id.example.test", "http://127.0.0.1.example.test", "http://localhost.example.test", "http://10.0.0.1",
		"https://id.example.test/", "https://id.example.test/patient/", "https://user@id.example.test",
		"https://id.example.test?x", "https://id.example.test?", "https://id.example.test#", "https://id.example.test#x",
		"https://ID.example.test", "https://id.example.test:443", "http://localhost:80",
		"https://id.example.test/a//b", "https://id.example.test/a/../b", "https://id.example.test/a%2fb", "HTTPS://id.example.test",
	} {
		if _, err := realm.CheckIssuer(bad); !errors.Is(err, realm.ErrRealm) {
			t.Errorf("%s: %v, want ErrRealm", bad, err)
		}
	}
}

func TestTheConfiguredIssuerDecidesTheDoor(t *testing.T) {
	patient := build(t, "patient", "https://id.example.test/patient")
	practice := build(t, "practice", "https://id.example.test/practice")
	inner := build(t, "clinic", "https://id.example.test/practice/clinic")
	own := build(t, "teens", "https://teens.example.test")
	local := build(t, "demo", "http://localhost:9000/patient")
	set, err := realm.NewSet([]*realm.Realm{patient, practice, inner, own, local})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, path string
		want       *realm.Realm
		rest       string
	}{
		{"id.example.test", "/patient/signin", patient, "/signin"},
		{"ID.Example.Test:443", "/patient", patient, "/"},
		{"id.example.test", "/patient/", patient, "/"},
		{"id.example.test", "/practice/clinic/oauth/token", inner, "/oauth/token"},
		{"id.example.test", "/practice/clinics", practice, "/clinics"},
		{"teens.example.test", "/signin", own, "/signin"},
		{"teens.example.test", "/", own, "/"},
		{"localhost:9000", "/patient/signin", local, "/signin"},
		{"id.example.test", "/patients", nil, ""},
		{"id.example.test", "/", nil, ""},
		{"id.example.test", "/Patient", nil, ""},
		{"id.example.test:8443", "/patient", nil, ""},
		{"evil.example.test", "/patient", nil, ""},
		{"localhost", "/patient", nil, ""},
		{"", "/patient", nil, ""},
	} {
		got, rest, ok := set.Resolve(c.host, c.path)
		if got != c.want || rest != c.rest || ok != (c.want != nil) {
			t.Errorf("Resolve(%q, %q) = %v, %q, %v", c.host, c.path, got, rest, ok)
		}
	}
	if got := patient.URL("/reset/abc"); got != "https://id.example.test/patient/reset/abc" {
		t.Errorf("URL = %s", got)
	}
	if got := patient.Origin(); got != "https://id.example.test" {
		t.Errorf("Origin = %s", got)
	}
	if r, ok := set.ByName("teens"); !ok || r != own {
		t.Error("ByName does not find teens")
	}
	if len(set.All()) != 5 {
		t.Error("All does not list all")
	}
}

func TestRealmsThatCouldBeMistakenForEachOtherAreRefused(t *testing.T) {
	a := build(t, "patient", "https://id.example.test/patient")
	for why, other := range map[string]*realm.Realm{
		"one name":         build(t, "patient", "https://other.example.test"),
		"one issuer":       build(t, "other", "https://id.example.test/patient"),
		"meeting cookies":  build(t, "patient-flow", "https://flow.example.test"),
		"meeting cookies2": build(t, "patient-x-y", "https://flow.example.test"),
	} {
		if _, err := realm.NewSet([]*realm.Realm{a, other}); !errors.Is(err, realm.ErrRealm) {
			t.Errorf("%s: %v", why, err)
		}
		if _, err := realm.NewSet([]*realm.Realm{other, a}); !errors.Is(err, realm.ErrRealm) {
			t.Errorf("%s, other order: %v", why, err)
		}
	}
}

func TestCookiesCarryTheirRealm(t *testing.T) {
	r := build(t, "patient", "https://id.example.test/patient")
	if got := r.CookieName(""); got != "__Host-portico-patient" {
		t.Error(got)
	}
	if got := r.CookieName("flow"); got != "__Host-portico-patient-flow" {
		t.Error(got)
	}
}

func TestAClientSecretIsTheWholeSecret(t *testing.T) {
	long := strings.Repeat("x", 72)
	c := &realm.Client{ID: "portal", AuthMethod: realm.AuthBasic, SecretHash: realm.HashSecret(long)}
	if !c.CheckSecret(long) {
		t.Error("the right secret is refused")
	}
	for _, bad := range []string{"", long + "y", long[:71], strings.ToUpper(long)} {
		if c.CheckSecret(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
	public := &realm.Client{ID: "spa", AuthMethod: realm.AuthNone}
	if public.CheckSecret("") || public.CheckSecret("x") || !public.Public() {
		t.Error("a public client has no secret")
	}
	for _, broken := range []*realm.Client{
		{ID: "x", AuthMethod: realm.AuthBasic}, {ID: "x", AuthMethod: realm.AuthNone, SecretHash: realm.HashSecret("y")},
		{ID: "", AuthMethod: realm.AuthNone},
	} {
		if _, err := realm.New(realm.Realm{Name: "a", Issuer: "https://a.example.test"}, []*realm.Client{broken}); !errors.Is(err, realm.ErrRealm) {
			t.Errorf("%+v: %v", broken, err)
		}
	}
}

func TestAClientIsCalledAsItsReaderReads(t *testing.T) {
	named := &realm.Client{ID: "portal", Name: "Patient Portal", Names: map[string]string{"es": "Portal del Paciente", "fr": ""}}
	for lang, want := range map[string]string{"es": "Portal del Paciente", "en": "Patient Portal", "fr": "Patient Portal", "": "Patient Portal"} {
		if got := named.NameIn(lang); got != want {
			t.Errorf("%q: %q", lang, got)
		}
	}
	if got := (&realm.Client{ID: "portal"}).NameIn("es"); got != "portal" {
		t.Errorf("%q", got)
	}
}

func TestDefaultsAreThoseOfTheKind(t *testing.T) {
	patient := build(t, "patient", "https://id.example.test/patient")
	practice := build(t, "practice", "https://id.example.test/practice")
	if patient.Lifetimes.SessionIdle != 30*time.Minute || patient.Lifetimes.GrantAbsolute != 24*time.Hour {
		t.Errorf("patient: %+v", patient.Lifetimes)
	}
	if practice.Lifetimes.SessionIdle != 15*time.Minute || practice.Lifetimes.GrantAbsolute != 12*time.Hour {
		t.Errorf("practice: %+v", practice.Lifetimes)
	}
	if patient.Password.MinLength != 15 || patient.Recovery.AnswerTriesPerLink != 5 || patient.Lifetimes.ResetLink != 48*time.Hour {
		t.Errorf("%+v %+v", patient.Password, patient.Recovery)
	}
	one, two := realm.Defaults(realm.Patient), realm.Defaults(realm.Patient)
	one.OAuth.Scopes[0], one.OAuth.ScopeAudiences["x"] = "changed", "y"
	if two.OAuth.Scopes[0] != realm.ScopeOpenID || len(two.OAuth.ScopeAudiences) != 0 {
		t.Error("two realms share one default slice")
	}
}

func TestTheRealmTravelsInTheContext(t *testing.T) {
	r := build(t, "patient", "https://id.example.test/patient")
	if realm.From(realm.WithRealm(context.Background(), r)) != r {
		t.Error("another realm came out")
	}
	defer func() {
		if recover() == nil {
			t.Error("a handler outside of a realm goes on without one")
		}
	}()
	realm.From(context.Background())
}
