package server_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"text/template"

	"github.com/portico-id/portico/internal/server/porttest"
)

// settings are a provider's configuration and what a test has to know of it.
type settings struct {
	host    string // "localhost:12345"
	base    string // "http://localhost:12345"
	private string // address of the private listener
	yaml    string
	env     map[string]string
	mail    *mailServer
	dsn     string
}

// The same for all worlds, because they share what one of them has sealed and
// hashed.
var testSecrets = map[string]string{
	"KEK":              randomKey(),
	"PEPPER":           randomKey(),
	"PATIENT_PORTAL":   randomText(32),
	"PRACTICE_PORTAL":  randomText(32),
	"PATIENT_NATIVE":   randomText(32),
	"PRACTICE_NATIVE":  randomText(32),
	"PATIENT_SERVICE":  randomText(32),
	"PRACTICE_SERVICE": randomText(32),
	"ANNEX_PORTAL":     randomText(32),
	"DOOR_PORTAL":      randomText(32),
}

func randomKey() string {
	raw, _ := base64.RawURLEncoding.DecodeString(randomText(32))
	return base64.StdEncoding.EncodeToString(raw)
}

// secretOf is what a client authenticates with; "" for a public one.
func secretOf(realm, client string) string {
	return testSecrets[strings.ToUpper(realm)+"_"+strings.ToUpper(client)]
}

// newSettings chooses ports and writes a configuration. Beside the two realms
// that ship there are annex, whose limits are low, and door, which has a host
// of its own and no path.
func newSettings(dsn string, mail *mailServer, more string) settings {
	ports := freePorts(2)
	s := settings{
		host: fmt.Sprintf("localhost:%d", ports[0]), private: fmt.Sprintf("localhost:%d", ports[1]),
		mail: mail, dsn: dsn, env: map[string]string{"DATABASE_URL": dsn},
	}
	s.base = "http://" + s.host
	for name, value := range testSecrets {
		s.env[name] = value
	}
	var out bytes.Buffer
	err := configuration.Execute(&out, map[string]any{
		"Host": s.host, "Base": s.base, "Private": s.private, "SMTP": mail.port, "More": more,
		"Door": fmt.Sprintf("http://door.localhost:%d", ports[0]),
	})
	if err != nil {
		panic(err)
	}
	s.yaml = out.String()
	return s
}

func (s settings) lookup(name string) (string, bool) {
	value, ok := s.env[name]
	return value, ok
}

// issuer of a realm.
func (s settings) issuer(realm string) string {
	if realm == "door" {
		return "http://door." + s.host
	}
	return s.base + "/" + realm
}

func freePorts(n int) []int {
	ports, err := porttest.Free(n)
	if err != nil {
		panic(err)
	}
	return ports
}

var configuration = template.Must(template.New("").Parse(`
database: {url: env:DATABASE_URL}
listen: {{.Host}}
private_listen: {{.Private}}
key_encryption_key: env:KEK
pepper: env:PEPPER
mail:
  from: Portico <no-reply@example.test>
  smtp: {host: localhost, port: {{.SMTP}}, tls: none}
log: {level: debug, format: text}
admin_api: {realm: practice, base_url: "{{.Base}}"}
argon2: {concurrency: 32}
{{.More}}
realms:
  - name: patient
    issuer: {{.Base}}/patient
    home: https://patients.example.test/
    brand: {name: Patient Portal, support_phone: 555-0100}
    locales: [en, es]
    time_zone: America/New_York
    recovery: {requests_per_network_per_hour: 10000}
    sign_in: {attempts_per_network_per_hour: 100000, interactions_per_network_per_hour: 100000}
    clients:
      - id: portal
        name: Patient Portal
        translations: {es: {name: Portal del Paciente}}
        secret: env:PATIENT_PORTAL
        first_party: true
        scopes: [openid, profile, email, offline_access]
        id_token_alg: ES256
        redirect_uris: ["https://patients.example.test/callback"]
        post_logout_redirect_uris: ["https://patients.example.test/signed-out"]
        initiate_login_uri: https://patients.example.test/signin
      - id: native
        name: Native test
        secret: env:PATIENT_NATIVE
        first_party: true
        introspect: true
        scopes: [openid, profile, email, offline_access]
        grant_types: [authorization_code, refresh_token, client_credentials]
        redirect_uris: ["http://localhost:9099/callback"]
      - id: spa
        name: Growth Charts
        public: true
        scopes: [openid, profile, email, offline_access]
        redirect_uris: ["http://127.0.0.1/callback"]
      - id: service
        secret: env:PATIENT_SERVICE
        introspect: true
        grant_types: [client_credentials]
        scopes: []
  - name: practice
    issuer: {{.Base}}/practice
    home: https://practices.example.test/
    brand: {name: Practice Portal, color: "#1f5f54"}
    locales: [en, es]
    time_zone: America/New_York
    recovery: {requests_per_network_per_hour: 10000}
    sign_in: {attempts_per_network_per_hour: 100000, interactions_per_network_per_hour: 100000}
    clients:
      - id: portal
        name: Practice Portal
        secret: env:PRACTICE_PORTAL
        first_party: true
        scopes: [openid, profile, email, offline_access, admin.read, admin.manage]
        audiences: ["{{.Base}}/admin/v1"]
        redirect_uris: ["https://practices.example.test/callback"]
        post_logout_redirect_uris: ["https://practices.example.test/signed-out"]
        client_uri: https://practices.example.test/
      - id: native
        secret: env:PRACTICE_NATIVE
        first_party: true
        introspect: true
        scopes: [openid, profile, email, offline_access]
        grant_types: [authorization_code, refresh_token, client_credentials]
        redirect_uris: ["http://localhost:9099/callback"]
      - id: spa
        public: true
        scopes: [openid, offline_access]
        redirect_uris: ["http://127.0.0.1/callback"]
      - id: service
        secret: env:PRACTICE_SERVICE
        introspect: true
        grant_types: [client_credentials]
        scopes: [admin.read, admin.manage]
        audiences: ["{{.Base}}/admin/v1"]
  - name: annex
    kind: patient
    issuer: {{.Base}}/annex
    recovery: {requests_per_network_per_hour: 3}
    sign_in: {interactions_per_network_per_hour: 60}
    clients:
      - id: portal
        secret: env:ANNEX_PORTAL
        first_party: true
        scopes: [openid, offline_access]
        redirect_uris: ["https://patients.example.test/callback"]
  - name: door
    kind: patient
    issuer: {{.Door}}
    clients:
      - id: portal
        secret: env:DOOR_PORTAL
        first_party: true
        scopes: [openid, offline_access]
        redirect_uris: ["https://patients.example.test/callback"]
`))
