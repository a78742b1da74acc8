package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// strictConfig is a realm as an installation has it, with clients that the demo
// does not have: one that signs everything, and one that runs in the browser.
const strictConfig = `database: {url: "sqlite:%[1]s/portico.db"}
listen: "localhost:%[2]d"
private_listen: "localhost:%[3]d"
key_encryption_key: env:KEK
pepper: env:PEPPER
log: {level: error, format: text}
mail: {from: no-reply@example.test, smtp: {host: localhost, port: 25, tls: none}}
realms:
  - name: patient
    issuer: "http://localhost:%[2]d/patient"
    oauth: {session_management: true}
    test_people:
      - {email: robin.avery@example.test, password: env:PERSON, given_name: Robin, family_name: Avery}
    clients:
      - id: native-test
        auth_method: private_key_jwt
        jwks: '%[4]s'
        request_object_signing_alg: ES256
        require_pushed_authorization_requests: true
        redirect_uris: [%[5]q]
        post_logout_redirect_uris: [%[6]q]
        scopes: [openid, profile, email, offline_access]
        first_party: true
      - id: browser-app
        public: true
        redirect_uris: ["http://localhost:9099/"]
        post_logout_redirect_uris: ["http://localhost:9099/"]
        scopes: [openid, profile, email, offline_access]
        first_party: true
`

// strict starts cmd/idp with strictConfig and makes idp mean it until the test
// ends. The private key of native-test comes back in PKCS #8, base64.
func strict(t *testing.T) (key string) {
	t.Helper()
	binary := filepath.Join(idp.dir, "idp")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "..", "-o", binary, "./cmd/idp").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	jwks, err := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "EC", "crv": "P-256", "kid": "k", "alg": "ES256",
		"use": "sig", "x": part(point[1:33]), "y": part(point[33:])}}})
	if err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	dir, password := t.TempDir(), "seven lanterns by the river "+strconv.Itoa(ports[0])
	file := filepath.Join(dir, "idp.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, strictConfig, dir, ports[0], ports[1], jwks, redirectURI, signedOutURI), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := func() string {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return base64.StdEncoding.EncodeToString(b)
	}
	cmd := exec.Command(binary, "serve", "--config", file)
	cmd.Env = append(os.Environ(), "KEK="+secret(), "PEPPER="+secret(), "PERSON="+password)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	before := idp
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		idp = before
	})
	idp.Issuer = fmt.Sprintf("http://localhost:%d/patient", ports[0])
	idp.Email, idp.Password, idp.Secret = "robin.avery@example.test", password, "none"
	idp.Probe, idp.ProbeRedirect = "browser-app", "http://localhost:9099/"
	var discovery map[string]any
	if err := poll(time.Minute, func() error { return getJSON(idp.Issuer+"/.well-known/openid-configuration", &discovery) }); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestClientsThatSignEverything(t *testing.T) {
	key := strict(t)
	for _, script := range []string{"openid-client-signed.mjs", "oauth4webapi-signed.mjs"} {
		t.Run(strings.TrimSuffix(script, ".mjs"), func(t *testing.T) { node(t, script, "PRIVATE_KEY="+key) })
	}
}
