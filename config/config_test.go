package config_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/realm"
)

func random(seed byte) string {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i)*37 + seed
	}
	return base64.StdEncoding.EncodeToString(raw)
}

var environment = map[string]string{
	"KEK": random(1), "PEPPER": random(2), "SECRET": "the-demo-secret-of-the-portal-in-43-characters",
	"SHORT": "too-short", "FLAT": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
	"SMTP": "canary-smtp-password", "DSN": "postgres://portico:canary-dsn@db.example.test/portico", "PORT": "2525",
	"NOT64": "canary-not-base64!!",
}

func lookup(name string) (string, bool) { v, ok := environment[name]; return v, ok }

const minimal = `database: {url: "sqlite:/tmp/portico.db"}
key_encryption_key: env:KEK
pepper: env:PEPPER
mail:
  smtp: {host: localhost, port: env:PORT, tls: none}
  from: no-reply@example.test
realms:
  - name: patient
    issuer: http://localhost:9000/patient
    clients:
      - id: portal
        secret: env:SECRET
        redirect_uris: [http://localhost:9001/callback]
`

func TestALittleConfigurationIsComplete(t *testing.T) {
	c, err := config.Parse("idp.yaml", []byte(minimal), lookup)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Realms()[0]
	if r.Kind != realm.Patient || r.Lifetimes != realm.Defaults(realm.Patient).Lifetimes ||
		r.Password.MinLength != 15 || r.Recovery.AnswerTriesPerLink != 5 || r.SignIn.DisableAtFailures != 100 {
		t.Errorf("%+v", r)
	}
	cl, ok := r.Client("portal")
	if !ok || cl.AuthMethod != realm.AuthBasic || !cl.CheckSecret(environment["SECRET"]) || cl.IDTokenAlg != realm.RS256 ||
		!slices.Equal(cl.GrantTypes, []string{"authorization_code", "refresh_token"}) ||
		!slices.Equal(cl.Scopes, []string{"openid", "profile", "email"}) {
		t.Errorf("%+v", cl)
	}
	if len(c.KeyEncryptionKey.Reveal()) != 32 || c.Mail.SMTP.Port != 2525 || c.Listen != "localhost:9000" ||
		c.Limits.BodyBytes != 64<<10 || c.Argon2.Params.MemoryKiB != 19456 || c.AdminAPI.Enabled() {
		t.Errorf("%+v", c)
	}
	if again, _ := config.Parse("idp.yaml", []byte(minimal), lookup); fmt.Sprint(again.Realms()[0].Clients()[0]) != fmt.Sprint(cl) {
		t.Error("reading twice gives two configurations")
	}
	if got, _, ok := c.Set().Resolve("localhost:9000", "/patient/signin"); !ok || got != r {
		t.Error("the set does not resolve the realm")
	}
}

// replace changes one line of the minimal configuration.
func replace(t *testing.T, old, new string) string {
	t.Helper()
	if !strings.Contains(minimal, old) {
		t.Fatalf("%q is not in the minimal configuration", old)
	}
	return strings.Replace(minimal, old, new, 1)
}

func TestEveryMistakeIsNamedWithItsPlaceAndMend(t *testing.T) {
	const redirect = "redirect_uris: [http://localhost:9001/callback]"
	const issuer = "issuer: http://localhost:9000/patient"
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", minimal + "lissten: x\n", `idp.yaml:14:1: lissten: unknown key; write listen`},
		{"unknown key far from any", minimal + "zzz: x\n", `zzz: unknown key; remove it; known here:`},
		{"nested unknown key", replace(t, "from:", "fromm:"), `idp.yaml:6:3: mail.fromm: unknown key; write from`},
		{"missing value", replace(t, "from: no-reply@example.test", ""), `mail.from: this is missing; write the sender`},
		{"key twice", minimal + "pepper: env:PEPPER\n", `idp.yaml:14:1: pepper: this key stands here twice`},
		{"no YAML", "database: [", `idp.yaml:1:`},
		{"tabs", "database:\n\turl: x\n", `this is not YAML`},
		{"nothing at all", "", `realms`},
		{"only comments", "# nothing\n", `there is no realm`},
		{"signing client without keys", replace(t, "secret: env:SECRET", "auth_method: private_key_jwt"), `the client's public keys are not known; add jwks or jwks_uri`},
		{"signing client with a secret", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        auth_method: private_key_jwt\n        jwks_uri: https://rp.example.test/jwks"), `a client that signs has no secret`},
		{"two places for keys", replace(t, "secret: env:SECRET", "auth_method: private_key_jwt\n        jwks_uri: https://rp.example.test/jwks\n        jwks: '{}'"), `the keys stand in the file already`},
		{"a symmetric key", replace(t, "secret: env:SECRET", "auth_method: private_key_jwt\n        jwks: '{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}'"), `this is no set of public keys`},
		{"keys in a file", replace(t, "secret: env:SECRET", "auth_method: private_key_jwt\n        jwks_uri: file:///etc/passwd"), `is no address to fetch keys from`},
		{"an id of those who register", replace(t, "id: portal", "id: dyn-portal"), `choose an id without dyn-`},
		{"a name in a language nobody reads", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        translations: {fr: {name: Portail}}"), `realms[0].clients[0].translations.fr: the realm does not speak this language; add fr to its locales, or remove these lines`},
		{"sector without pairwise", replace(t, redirect, redirect+"\n        sector: rp.example.test"), `a sector is for pairwise subjects`},
		{"pairwise over two hosts", replace(t, redirect, "redirect_uris: [https://a.example.test/cb, https://b.example.test/cb]\n        subject_type: pairwise"), `the redirect URIs are not on one host; add sector:`},
		{"pairwise app on this machine", replace(t, "secret: env:SECRET", "auth_method: none\n        subject_type: pairwise"), `this machine, or a scheme of an app, is no host that stands for one owner; add sector:`},
		{"registration by nobody", replace(t, issuer, issuer+"\n    oauth: {registration: {mode: initial_access_token}}"), `there is no token to register with`},
		{"registration token in the file", replace(t, issuer, issuer+"\n    oauth: {registration: {mode: initial_access_token, initial_access_tokens: [hunter2]}}"), `a secret stands in the file`},
		{"exempt pattern", minimal + "outbound: {exempt_hosts: [\"*.example.test\"]}\n", `is no host`},
		{"a language without sentences", replace(t, issuer, issuer+"\n    locales: [en, qya]"), `there are no sentences for "qya"; put them into templates_dir/locales/qya.json, or remove the language`},
		{"a list instead of keys", "[a, b]\n", `keys with values were expected here, found a list`},
		{"two documents", minimal + "---\na: b\n", `a second document begins here`},
		{"anchor", replace(t, "from: no-reply@example.test", "from: &x no-reply@example.test"), `anchor`},
		{"text where keys belong", replace(t, "database: {url: \"sqlite:/tmp/portico.db\"}", "database: sqlite"), `idp.yaml:1:11: database: keys with values were expected here, found text`},
		{"keys where text belongs", replace(t, "from: no-reply@example.test", "from: {a: b}"), `a single value was expected here, found keys`},
		{"number where text belongs", replace(t, "name: patient", "name: 5"), `realms[0].name: text was expected here, found a number; put it in quotes`},
		{"text where a list belongs", replace(t, redirect, "redirect_uris: http://localhost:9001/callback"), `a list was expected here, found text`},
		{"bad number", minimal + "argon2: {memory_kib: many}\n", `argon2.memory_kib: "many" is not possible here; write a whole number from 19456`},
		{"cheap hashing", minimal + "argon2: {memory_kib: 19455}\n", `write a whole number from 19456`},
		{"bad truth", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        first_party: yes"), `"yes" is not possible here; write true or false`},
		{"bad choice", minimal + "log: {level: loud}\n", `log.level: "loud" is not possible here; write one of: debug, info, warn, error`},
		{"bad duration", minimal + "limits: {drain: soon}\n", `limits.drain: "soon" is not possible here; write a time from 0s to 5m`},
		{"long reset link", replace(t, issuer, issuer+"\n    lifetimes: {reset_link: 49h}"), `realms[0].lifetimes.reset_link: "49h" is not possible here; write a time from 10m to 48h`},
		{"long code", replace(t, issuer, issuer+"\n    lifetimes: {code: 2m}"), `lifetimes.code: "2m" is not possible`},
		{"long access token", replace(t, issuer, issuer+"\n    lifetimes: {access_token: 11m}"), `lifetimes.access_token`},
		{"long session", replace(t, issuer, issuer+"\n    lifetimes: {session: 25h}"), `lifetimes.session: "25h"`},
		{"idle longer than session", replace(t, issuer, issuer+"\n    lifetimes: {session: 10m}"), `session_idle (30m) is longer than session (10m)`},
		{"short passwords", replace(t, issuer, issuer+"\n    password: {min_length: 14}"), `write a whole number from 15`},
		{"many links of staff", replace(t, issuer, issuer+"\n    recovery: {staff_links_per_day: 101}"), `staff_links_per_day: "101" is not possible here; write a whole number from 1 to 100`},
		{"an alarm for less than a week", replace(t, issuer, issuer+"\n    recovery: {recent_email_change: 6d}"), `write a time from 7d to 90d`},
		{"endless waiting requests", replace(t, issuer, issuer+"\n    sign_in: {interactions_per_network_per_hour: 0}"), `write a whole number from 10`},
		{"a streak that is forgotten soon", replace(t, issuer, issuer+"\n    sign_in: {forget_streak: 1d}"), `write a time from 30d to 730d`},
		{"many tries", replace(t, issuer, issuer+"\n    recovery: {answer_tries_per_link: 6}"), `answer_tries_per_link`},
		{"environment variable not set", replace(t, "env:KEK", "env:NOWHERE"), `idp.yaml:2:1: key_encryption_key: the environment variable NOWHERE is not set`},
		{"no key", replace(t, "key_encryption_key: env:KEK\n", ""), `key_encryption_key: this is missing; write env:PORTICO_KEY_ENCRYPTION_KEY`},
		{"key in the file", replace(t, "env:KEK", environment["KEK"]), `a secret stands in the file`},
		{"short key", replace(t, "env:KEK", "env:SHORT"), `not base64`},
		{"flat key", replace(t, "env:KEK", "env:FLAT"), `this was not made at random`},
		{"one key for two purposes", replace(t, "env:PEPPER", "env:KEK"), `one key per purpose`},
		{"database unknown", replace(t, "sqlite:/tmp/portico.db", "mysql://x"), `start it with sqlite: or postgres://`},
		{"database password in the file", replace(t, "sqlite:/tmp/portico.db", "postgres://portico:hunter2@db/portico"), `a password stands in the file`},
		{"bad listener", minimal + "listen: 9000x\n", `is no address to listen on`},
		{"one address twice", minimal + "listen: localhost:9090\n", `both listeners have one address`},
		{"half a certificate", minimal + "tls: {cert: a.pem}\n", `set both cert and key`},
		{"bad proxy", minimal + "trusted_proxies: [proxy.example.test]\n", `is no network`},
		{"everybody's proxy", minimal + "trusted_proxies: [0.0.0.0/0]\n", `anybody could claim to be anybody`},
		{"plain SMTP over the network", replace(t, "host: localhost", "host: smtp.example.test"), `unencrypted; set tls to starttls`},
		{"SMTP password in the file", replace(t, "tls: none", "tls: none, username: x, password: hunter2"), `mail.smtp.password: a secret stands in the file`},
		{"SMTP user without password", replace(t, "tls: none", "tls: none, username: x"), `set both username and password`},
		{"bad sender", replace(t, "from: no-reply@example.test", "from: nobody"), `"nobody" is no mail address`},
		{"collector missing", minimal + "telemetry: {traces: otlp}\n", `write where the collector listens`},
		{"no realms", strings.Split(minimal, "realms:")[0] + "realms: []\n", `there is no realm`},
		{"bad realm name", replace(t, "name: patient", "name: Patient Portal"), `"Patient Portal" cannot be a name`},
		{"plain issuer", replace(t, issuer, "issuer: http://id.example.test/patient"), `realms[0].issuer: "http://id.example.test/patient" cannot be an issuer; http is only for localhost`},
		{"issuer with a slash", replace(t, issuer, "issuer: https://id.example.test/patient/"), `does not end with a slash`},
		{"two realms of one name", minimal + "  - {name: patient, issuer: https://a.example.test}\n", `idp.yaml:14:6: realms[1]: two are called patient`},
		{"two realms of one issuer", minimal + "  - {name: other, issuer: 'http://localhost:9000/patient'}\n", `have one issuer`},
		{"bad colour", replace(t, issuer, issuer+"\n    brand: {color: blue}"), `"blue" is no colour`},
		{"logo from elsewhere", replace(t, issuer, issuer+"\n    brand: {logo: 'https://cdn.example.test/x.svg'}"), `is no static file`},
		{"logo out of the folder", replace(t, issuer, issuer+"\n    brand: {logo: a/../../x.svg}"), `is no static file`},
		{"script as help", replace(t, issuer, issuer+"\n    brand: {help_url: 'javascript:alert(1)'}"), `no address to send a browser to`},
		{"bad language", replace(t, issuer, issuer+"\n    locale: english"), `"english" is no language`},
		{"bad time zone", replace(t, issuer, issuer+"\n    time_zone: Mars/Olympus"), `"Mars/Olympus" is no time zone`},
		{"client without id", replace(t, "- id: portal\n        ", "- "), `idp.yaml:11:9: realms[0].clients[0].id: this is missing`},
		{"client id with a space", replace(t, "id: portal", "id: my portal"), `cannot be a client id`},
		{"client twice", minimal + "      - {id: portal, public: true, redirect_uris: [\"https://a.example.test/\"]}\n", `"portal" stands here twice`},
		{"client secret in the file", replace(t, "env:SECRET", "hunter2hunter2hunter2hunter2hunter2"), `idp.yaml:12:9: realms[0].clients[0].secret: a secret stands in the file`},
		{"short client secret", replace(t, "env:SECRET", "env:SHORT"), `the secret has only 9 characters; make a random one`},
		{"bad hash", replace(t, "env:SECRET", "sha256:abc"), `64 hexadecimal digits`},
		{"no secret", replace(t, "secret: env:SECRET", "name: x"), `neither a secret nor public: true`},
		{"public with a secret", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        public: true"), `a public client has no secret`},
		{"public that authenticates", replace(t, "secret: env:SECRET", "auth_method: client_secret_post\n        public: true"), `a public client does not authenticate`},
		{"two methods at once", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        auth_method: client_secret"), `write client_secret_basic, client_secret_post or private_key_jwt`},
		{"none with a secret", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        auth_method: none"), `write client_secret_basic, client_secret_post or private_key_jwt`},
		{"password grant", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        grant_types: [password]"), `"password" is not among what the realm allows`},
		{"implicit for the realm", replace(t, issuer, issuer+"\n    oauth: {grant_types: [implicit]}"), `"implicit" is not among what this release knows`},
		{"refresh alone", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        grant_types: [refresh_token]"), `nothing to refresh`},
		{"public client credentials", replace(t, "secret: env:SECRET", "public: true\n        grant_types: [client_credentials]"), `cannot use client_credentials`},
		{"no redirect", replace(t, redirect, "name: x"), `list the exact addresses it is called back at`},
		{"unknown scope", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        scopes: [openid, everything]"), `clients[0].scopes[1]: "everything" is not among what the realm knows`},
		{"admin scope in another realm", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        scopes: [admin.read]"), `"admin.read" is not among`},
		{"admin API of no realm", minimal + "admin_api: {realm: practise, base_url: 'http://localhost:9000'}\n", `idp.yaml:14:13: admin_api.realm: there is no realm "practise"`},
		{"admin API with a path", minimal + "admin_api: {realm: patient, base_url: 'http://localhost:9000/x'}\n", `a path stands here`},
		{"admin scope without audience", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        scopes: [admin.read]") + "admin_api: {realm: patient, base_url: 'http://localhost:9000'}\n", `add that address to the client's audiences`},
		{"bad audience", replace(t, "secret: env:SECRET", "secret: env:SECRET\n        audiences: [the api]"), `is no audience`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := config.Parse("idp.yaml", []byte(c.text), lookup)
			var problems config.Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("%v, want Problems", err)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got:\n%v\nwant: %s", err, c.want)
			}
			for _, p := range problems {
				if p.Line == 0 || p.Column == 0 || p.What == "" || p.Mend == "" {
					t.Errorf("incomplete: %#v", p)
				}
			}
			for name, value := range environment {
				if len(value) > 8 && strings.Contains(err.Error(), value) {
					t.Errorf("the message shows the value of %s:\n%v", name, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message shows a secret:\n%v", err)
			}
		})
	}
}

func TestRedirectsThatMatchTooMuchOrNothingAreRefused(t *testing.T) {
	const redirect = "redirect_uris: [http://localhost:9001/callback]"
	for _, bad := range []string{
		"http://portal.example.test/cb", "https://portal.example.test/cb#x", "https://portal.example.test/*", "https://*.example.test/cb",
		"https://user@portal.example.test/cb", "//portal.example.test/cb", "/cb", "javascript:alert(1)", "data:text/html,x",
		"https:///cb", "https://portal.example.test/a/../cb", "https://portal.example.test/ä", "https://portal.example.test/a b",
		"http://127.0.0.1.example.test/cb", "http://10.0.0.1/cb", "test.example.app:/cb", "",
	} {
		text := replace(t, redirect, fmt.Sprintf("redirect_uris: [%q]", bad))
		if _, err := config.Parse("x", []byte(text), lookup); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, good := range []string{"https://portal.example.test/cb?x=1", "http://127.0.0.1/callback", "http://[::1]:4711/cb", "http://localhost:9099/callback"} {
		text := replace(t, redirect, fmt.Sprintf("redirect_uris: [%q]", good))
		if _, err := config.Parse("x", []byte(text), lookup); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	native := strings.Replace(replace(t, redirect, "redirect_uris: ['test.example.app:/cb']"), "secret: env:SECRET", "public: true", 1)
	if _, err := config.Parse("x", []byte(native), lookup); err != nil {
		t.Error(err)
	}
}

func TestAllProblemsAreReportedAtOnceInOrder(t *testing.T) {
	text := `database: {url: nothing}
listen: nowhere
mail:
  smtp: {host: smtp.example.test, tls: maybe}
realms:
  - name: UPPER
    issuer: ftp://x
    locale: klingon-too-long
    clients:
      - id: a
        first_party: perhaps
        redirect_uris: [nowhere, javascript:x]
`
	_, err := config.Parse("idp.yaml", []byte(text), lookup)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	if len(problems) < 12 {
		t.Errorf("only %d problems:\n%v", len(problems), err)
	}
	if !slices.IsSortedFunc(problems, func(a, b config.Problem) int { return a.Line - b.Line }) {
		t.Errorf("not in order:\n%v", err)
	}
}

func TestFilesTheConfigurationNamesAreLookedAt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "idp.yaml")
	text := minimal + "tls: {cert: " + dir + "/none.crt, key: " + dir + "/none.key}\npasswords: {blocklists: [" + dir + "/none.txt]}\ntemplates_dir: " + path + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path, lookup)
	for _, want := range []string{"tls.cert: this file cannot be read", "tls.key: this file", "passwords.blocklists[0]: this file", "templates_dir: this is not a folder"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nwant: %s", err, want)
		}
	}
	if _, err := config.Load(filepath.Join(dir, "none.yaml"), lookup); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestAPrintedConfigurationShowsNoSecret(t *testing.T) {
	text := strings.Replace(replace(t, "tls: none", "tls: none, username: x, password: env:SMTP"), `"sqlite:/tmp/portico.db"`, "env:DSN", 1)
	c, err := config.Parse("x", []byte(text), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if c.Mail.SMTP.Password.Reveal() != environment["SMTP"] || c.Database.URL.Reveal() != environment["DSN"] {
		t.Error("secrets were not read")
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		printed := fmt.Sprintf(verb, *c)
		for _, leak := range []string{"canary", c.KeyEncryptionKey.Reveal(), c.Pepper.Reveal()} {
			if strings.Contains(printed, leak) {
				t.Errorf("%s shows a secret: %s", verb, printed)
			}
		}
	}
}

func TestAWarningIsNoProblem(t *testing.T) {
	c, err := config.Parse("x", []byte(replace(t, "http://localhost:9000/patient", "https://id.example.test/patient")), lookup)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].String(), "trusted_proxies") {
		t.Error(c.Warnings)
	}
}

func FuzzParse(f *testing.F) {
	example, err := os.ReadFile("idp.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(minimal))
	f.Add([]byte("a: &x [*x]\n? b\n: !!t c\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("x", text, lookup)
		if (c == nil) != (err != nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

func TestClientsThatSignAndRegisterAreConfigured(t *testing.T) {
	text := replace(t, "secret: env:SECRET", "auth_method: private_key_jwt\n        jwks_uri: https://rp.example.test/jwks\n        subject_type: pairwise\n        userinfo_alg: ES256")
	text = strings.Replace(text, "issuer: http://localhost:9000/patient", "issuer: http://localhost:9000/patient\n    oauth: {unsigned_id_tokens: true, strict_client_assertions: true, registration: {mode: open, trust_redirect_uris: true, initial_access_tokens: [\"env:SECRET\"]}}", 1)
	c, err := config.Parse("idp.yaml", []byte(text+"outbound: {exempt_hosts: [\"rp.example.test:8443\"]}\n"), lookup)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Realms()[0]
	cl, _ := r.Client("portal")
	if cl.AuthMethod != realm.AuthKey || cl.JWKSURI == "" || cl.SecretHash != nil || !cl.Pairwise() || cl.Sector != "localhost" || cl.UserinfoAlg != realm.ES256 {
		t.Errorf("%+v", cl)
	}
	p := r.OAuth
	if p.Registration.Mode != realm.RegistrationOpen || len(p.Registration.TokenHashes) != 1 || !p.UnsignedIDTokens || !p.StrictAssertions || !p.Registration.TrustRedirects {
		t.Errorf("%+v", p)
	}
	warned := fmt.Sprint(c.Warnings)
	for _, want := range []string{"anybody can register clients", "without a signature", "although it is not public", "without a word to the person"} {
		if !strings.Contains(warned, want) {
			t.Errorf("not warned about %q: %s", want, warned)
		}
	}
	if d := realm.Defaults(realm.Patient).OAuth; d.Registration.Enabled() || d.UnsignedIDTokens || d.Registration.TrustRedirects {
		t.Error("a relaxation is on by default")
	}
}
