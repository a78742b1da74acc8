package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"text/template"

	"github.com/portico-id/portico/internal/demo/seed"
)

// configuration is the provider's file for the demo's addresses, in the form
// of config/idp.example.yaml. Every text is quoted as JSON, which YAML reads.
var configuration = template.Must(template.New("demo.yaml").Funcs(template.FuncMap{
	"q":   quote,
	"env": secretEnv,
}).Parse(`# Written by the demo for its own addresses.
database:
  url: env:PORTICO_DATABASE_URL
listen: {{q .Listen}}
private_listen: {{q .Private}}
key_encryption_key: env:PORTICO_KEY_ENCRYPTION_KEY
pepper: env:PORTICO_PEPPER
mail:
  from: "Portico demo <no-reply@example.test>"
  reply_to: "help@example.test"
  smtp:
    host: {{q .SMTPHost}}
    port: {{.SMTPPort}}
    tls: none
argon2:
  concurrency: {{.Hashers}}
log:
  level: {{.LogLevel}}
  format: text
admin_api:
  realm: practice
  base_url: {{q .Provider}}
realms:
{{- range .Realms}}
  - name: {{.Name}}
    issuer: {{q .Issuer}}
    home: {{q .Home}}
    locale: en
    locales: [en, es]
    time_zone: {{q $.Zone}}
    brand:
      name: {{q .Brand}}
      logo: logo.svg
      color: {{q .Color}}
      support_phone: "555-0100"
      support_email: "help@example.test"
      support_hours: {{q .Hours}}
      translations:
        es: {name: {{q .BrandES}}, support_hours: {{q .HoursES}}}
{{- if .KeptSession}}
    lifetimes:
      kept_session: {{.KeptSession}}
{{- end}}
{{- if .SecondStep}}
    second_factor:
      required: everyone
{{- end}}
    # Everybody in the demo comes from one address.
    recovery:
      requests_per_network_per_hour: 1000
    sign_in:
      attempts_per_network_per_hour: 100000
      interactions_per_network_per_hour: 100000
    # Reuse of a refresh token is answered at its strictest here: no retry.
    oauth:
      refresh_grace: 0s
    clients:
{{- $realm := .Name}}
{{- range .Clients}}
      - id: {{.ID}}
        name: {{q .Name}}
{{- if .NameES}}
        translations: {es: {name: {{q .NameES}}}}
{{- end}}
{{- if .Public}}
        public: true
{{- else}}
        secret: env:{{env $realm .ID}}
        auth_method: {{.AuthMethod}}
{{- end}}
{{- if not .Public}}
        id_token_alg: ES256
{{- end}}
{{- if .FirstParty}}
        first_party: true
{{- end}}
{{- if .Introspect}}
        introspect: true
{{- end}}
        grant_types: {{q .GrantTypes}}
{{- if .Scopes}}
        scopes: {{q .Scopes}}
{{- end}}
{{- if .AdminAPI}}
        audiences: [{{q $.AdminAPI}}]
{{- end}}
{{- if .RedirectURIs}}
        redirect_uris: {{q .RedirectURIs}}
{{- end}}
{{- if .PostLogoutRedirectURIs}}
        post_logout_redirect_uris: {{q .PostLogoutRedirectURIs}}
{{- end}}
{{- if .Home}}
        client_uri: {{q .Home}}
        initiate_login_uri: {{q (print .Home "/signin")}}
{{- end}}
{{- end}}
{{- end}}
`))

func quote(v any) (string, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

// AdminAPI says that the client may call the admin API.
func (r registration) AdminAPI() bool {
	for _, scope := range r.Scopes {
		if strings.HasPrefix(scope, "admin.") {
			return true
		}
	}
	return false
}

type realmText struct {
	Name, Issuer, Home, Brand, BrandES, Color, Hours, HoursES string
	Clients                                                   []registration
	KeptSession                                               string // how long "Keep me signed in" lasts, "" for not at all
	SecondStep                                                bool   // everybody has to have one
}

// zoneName is where the demo's practices are.
const zoneName = "America/New_York"

// configure writes the provider's configuration.
func (o Options) configure() ([]byte, error) {
	var out bytes.Buffer
	err := configuration.Execute(&out, map[string]any{
		"Listen": o.address(o.Port), "Private": o.address(o.PrivatePort),
		"SMTPHost": o.Host, "SMTPPort": o.SMTPPort, "LogLevel": strings.ToLower(o.LogLevel.String()),
		// Seeding hashes dozens of passwords before anybody can sign in: the
		// two pools together should keep every processor busy.
		"Hashers":  max(4, runtime.NumCPU()),
		"Provider": o.providerURL(), "AdminAPI": o.adminAPI(), "Zone": zoneName,
		"Realms": []realmText{
			{seed.PatientRealm, o.issuer(seed.PatientRealm), o.patientURL(), "Patient Portal", "Portal del Paciente", "#0b5c8a", "Monday to Friday, 8 to 6", "Lunes a viernes, de 8 a 18", o.registrations(seed.PatientRealm), "30d", false},
			{seed.PracticeRealm, o.issuer(seed.PracticeRealm), o.practiceURL(), "Practice Portal", "Portal del Consultorio", "#1f5f54", "Monday to Friday, 7 to 7", "Lunes a viernes, de 7 a 19", o.registrations(seed.PracticeRealm), "", o.SecondStep},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("write the provider's configuration: %w", err)
	}
	return out.Bytes(), nil
}

// environment is where the configuration's env: values come from.
func (o Options) environment(s *secrets, database string) func(string) (string, bool) {
	env := map[string]string{
		"PORTICO_DATABASE_URL":       database,
		"PORTICO_KEY_ENCRYPTION_KEY": s.KeyEncryptionKey,
		"PORTICO_PEPPER":             s.Pepper,
	}
	for name, secret := range s.Clients {
		realm, client, _ := strings.Cut(name, "/")
		env[secretEnv(realm, client)] = secret
	}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}
