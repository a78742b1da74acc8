package demo

import (
	"strings"

	"github.com/portico-id/portico/internal/demo/patientportal"
	"github.com/portico-id/portico/internal/demo/practiceportal"
	"github.com/portico-id/portico/internal/demo/seed"
)

// registration is a client as the provider's configuration and the facts
// document both describe it.
type registration struct {
	seed.Client
	Name, NameES           string // NameES: "" for the same in Spanish
	FirstParty, Introspect bool
	Home                   string // the portal's front page; "" for clients without pages
}

// Public says that the client has no secret.
func (r registration) Public() bool { return r.AuthMethod == "none" }

const (
	patientClient  = "patient-portal"
	practiceClient = "practice-portal"
)

// registrations lists a realm's clients, without their secrets.
func (o Options) registrations(realm string) []registration {
	scopes := []string{"openid", "profile", "email", "address", "phone", "offline_access"}
	var service []string
	portal := registration{Name: "Patient Portal", NameES: "Portal del Paciente", Home: o.patientURL(), FirstParty: true,
		Client: seed.Client{ID: patientClient, Scopes: patientportal.Scopes}}
	if realm == seed.PracticeRealm {
		service = []string{"admin.read", "admin.manage"}
		scopes = append(scopes, service...)
		portal = registration{Name: "Practice Portal", NameES: "Portal del Consultorio", Home: o.practiceURL(), FirstParty: true,
			Client: seed.Client{ID: practiceClient, Scopes: practiceportal.Scopes}}
	}
	portal.AuthMethod = "client_secret_basic"
	portal.RedirectURIs = []string{portal.Home + "/callback"}
	portal.PostLogoutRedirectURIs = []string{portal.Home + "/signed-out"}
	portal.GrantTypes = []string{"authorization_code", "refresh_token"}
	return []registration{
		portal,
		{Name: "Single-page app", Client: seed.Client{
			ID: "spa", AuthMethod: "none", Scopes: []string{"openid", "profile", "email", "offline_access"},
			RedirectURIs:           []string{"http://127.0.0.1/callback"},
			PostLogoutRedirectURIs: []string{"http://127.0.0.1/signed-out"},
			GrantTypes:             []string{"authorization_code", "refresh_token"},
		}},
		{Name: "Native test", FirstParty: true, Introspect: true, Client: seed.Client{
			ID: "native-test", AuthMethod: "client_secret_basic", Scopes: scopes,
			RedirectURIs:           []string{"http://localhost:9099/callback", "https://rp.example.test/callback"},
			PostLogoutRedirectURIs: []string{"http://localhost:9099/signed-out", "https://rp.example.test/signed-out"},
			GrantTypes:             []string{"authorization_code", "refresh_token", "client_credentials"},
		}},
		{Name: "Native test, secret in the body", FirstParty: true, Client: seed.Client{
			ID: "native-test-post", AuthMethod: "client_secret_post", Scopes: scopes[:6],
			RedirectURIs:           []string{"http://localhost:9099/callback"},
			PostLogoutRedirectURIs: []string{"http://localhost:9099/signed-out"},
			GrantTypes:             []string{"authorization_code", "refresh_token"},
		}},
		{Name: "Background service", Introspect: true, Client: seed.Client{
			ID: "service", AuthMethod: "client_secret_basic", Scopes: service,
			RedirectURIs: []string{}, PostLogoutRedirectURIs: []string{},
			GrantTypes: []string{"client_credentials"},
		}},
	}
}

// confidential names the clients that have a secret, as "realm/client".
func (o Options) confidential() []string {
	var names []string
	for _, realm := range []string{seed.PatientRealm, seed.PracticeRealm} {
		for _, r := range o.registrations(realm) {
			if !r.Public() {
				names = append(names, realm+"/"+r.ID)
			}
		}
	}
	return names
}

// facts is the document GET /demo.json.
func (o Options) facts(d *seed.Data, s *secrets, question func(key string) string) *seed.Facts {
	var realms []seed.Realm
	for _, realm := range []string{seed.PatientRealm, seed.PracticeRealm} {
		r := seed.Realm{Name: realm, Issuer: o.issuer(realm), Portal: o.patientURL()}
		if realm == seed.PracticeRealm {
			r.Portal = o.practiceURL()
		}
		for _, each := range o.registrations(realm) {
			client := each.Client
			client.Secret = s.Clients[realm+"/"+client.ID]
			if client.Scopes == nil {
				client.Scopes = []string{}
			}
			r.Clients = append(r.Clients, client)
		}
		realms = append(realms, r)
	}
	return seed.Describe(d, realms, o.adminAPI(), o.mailboxURL(), question)
}

// secretEnv is the environment variable a client's secret is read from.
func secretEnv(realm, client string) string {
	return "PORTICO_CLIENT_" + strings.ToUpper(strings.ReplaceAll(realm+"_"+client, "-", "_"))
}
