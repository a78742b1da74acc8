// Package optest is a small OpenID Connect provider for the tests of relying
// parties. It signs in whoever the test names, without asking, checks PKCE,
// client and redirect, rotates refresh tokens and ends the grant when one is
// presented twice.
package optest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// The one client the provider knows.
const (
	ClientID     = "portal"
	ClientSecret = "portal-secret-of-the-tests"
)

// Person is who the provider signs in.
type Person struct {
	Subject, Name, GivenName, Email, Locale string
}

// OP is the provider. Its fields may be set before a request; Lock it while
// requests run.
type OP struct {
	sync.Mutex
	Issuer   string
	Person   Person
	Redirect string // the registered redirect URI

	AuthAge     time.Duration // how long ago the person typed the password; max_age makes it now
	IgnoreAge   bool          // sign in without asking, whatever max_age says
	Deny        string        // error code to answer an authorization with
	Nonce       string        // put into ID tokens instead of the right one
	WrongIssuer bool          // answer as if from another issuer
	NoIssuer    bool          // answer without iss
	Unnamed     bool          // do not advertise iss
	TokenLife   time.Duration // of access tokens; 0: 5 minutes
	Broken      int           // status of the token endpoint, 0: works
	Now         func() time.Time

	Authorized []url.Values // queries of the authorization endpoint
	Refreshed  int
	Revoked    bool // the grant has ended: refresh and userinfo refuse
	LoggedOut  []url.Values

	key     *ecdsa.PrivateKey
	codes   map[string]url.Values
	refresh string // the one that is good
	access  map[string]bool
	used    map[string]bool
}

// New starts a provider that ends with the test.
func New(t testing.TB) *OP {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	op := &OP{Now: time.Now, key: key, codes: map[string]url.Values{}, access: map[string]bool{}, used: map[string]bool{},
		Person: Person{Subject: "person-1", Name: "Ana Rivera", GivenName: "Ana", Email: "ana.rivera@example.test"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realm/.well-known/openid-configuration", op.discovery)
	mux.HandleFunc("GET /realm/jwks", op.jwks)
	mux.HandleFunc("GET /realm/authorize", op.authorize)
	mux.HandleFunc("POST /realm/token", op.token)
	mux.HandleFunc("GET /realm/userinfo", op.userinfo)
	mux.HandleFunc("GET /realm/logout", op.logout)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	op.Issuer = server.URL + "/realm"
	return op
}

// Good says whether an access token is one of this provider's and not ended.
func (op *OP) Good(token string) bool {
	op.Lock()
	defer op.Unlock()
	return op.access[token] && !op.Revoked
}

// Forget makes every access token given so far worthless, not the grant.
func (op *OP) Forget() {
	op.Lock()
	defer op.Unlock()
	clear(op.access)
}

func (op *OP) discovery(w http.ResponseWriter, r *http.Request) {
	write(w, 200, map[string]any{
		"issuer": op.Issuer, "authorization_endpoint": op.Issuer + "/authorize", "token_endpoint": op.Issuer + "/token",
		"jwks_uri": op.Issuer + "/jwks", "userinfo_endpoint": op.Issuer + "/userinfo", "end_session_endpoint": op.Issuer + "/logout",
		"id_token_signing_alg_values_supported": []string{"ES256"}, "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}, "authorization_response_iss_parameter_supported": !op.Unnamed,
	})
}

func (op *OP) jwks(w http.ResponseWriter, r *http.Request) {
	write(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: op.key.Public(), KeyID: "1", Algorithm: "ES256", Use: "sig"}}})
}

func (op *OP) authorize(w http.ResponseWriter, r *http.Request) {
	op.Lock()
	defer op.Unlock()
	q := r.URL.Query()
	op.Authorized = append(op.Authorized, q)
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != op.Redirect || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" {
		http.Error(w, "bad request", 400)
		return
	}
	answer := url.Values{"state": {q.Get("state")}, "iss": {op.Issuer}}
	if op.WrongIssuer {
		answer.Set("iss", "https://other.example.test")
	}
	if op.NoIssuer {
		answer.Del("iss")
	}
	if op.Deny != "" {
		answer.Set("error", op.Deny)
	} else {
		if q.Has("max_age") && !op.IgnoreAge {
			op.AuthAge = 0
		}
		code := rand.Text()
		op.codes[code] = q
		answer.Set("code", code)
	}
	http.Redirect(w, r, op.Redirect+"?"+answer.Encode(), http.StatusSeeOther)
}

func (op *OP) token(w http.ResponseWriter, r *http.Request) {
	op.Lock()
	defer op.Unlock()
	if op.Broken != 0 {
		write(w, op.Broken, map[string]string{"error": "server_error"})
		return
	}
	id, secret, ok := r.BasicAuth()
	if !ok || id != ClientID || secret != ClientSecret {
		write(w, 401, map[string]string{"error": "invalid_client"})
		return
	}
	refused := func() { write(w, 400, map[string]string{"error": "invalid_grant"}) }
	nonce := ""
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		q, ok := op.codes[r.PostFormValue("code")]
		delete(op.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || r.PostFormValue("redirect_uri") != op.Redirect {
			refused()
			return
		}
		op.Revoked = false
		if nonce = q.Get("nonce"); op.Nonce != "" {
			nonce = op.Nonce
		}
	case "refresh_token":
		presented := r.PostFormValue("refresh_token")
		if op.used[presented] { // reuse ends the grant
			op.Revoked = true
		}
		if op.Revoked || presented != op.refresh {
			refused()
			return
		}
		op.used[presented] = true
		op.Refreshed++
	default:
		refused()
		return
	}
	access := "at-" + rand.Text()
	op.access[access], op.refresh = true, "rt-"+rand.Text()
	life := op.TokenLife
	if life == 0 {
		life = 5 * time.Minute
	}
	write(w, 200, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(life.Seconds()), "refresh_token": op.refresh,
		"id_token": op.idToken(nonce, access),
	})
}

func (op *OP) idToken(nonce, access string) string {
	sum := sha256.Sum256([]byte(access))
	now := op.Now()
	claims := map[string]any{
		"iss": op.Issuer, "sub": op.Person.Subject, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"auth_time": now.Add(-op.AuthAge).Unix(), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	} // who it is, userinfo tells (OpenID Connect Core 1.0 §5.4)
	if nonce != "" {
		claims["nonce"] = nonce
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: op.key, KeyID: "1"}}, nil)
	if err != nil {
		panic(err)
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return raw
}

func (op *OP) userinfo(w http.ResponseWriter, r *http.Request) {
	op.Lock()
	defer op.Unlock()
	token := r.Header.Get("Authorization")
	if len(token) < 7 || !op.access[token[7:]] || op.Revoked {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(401)
		return
	}
	write(w, 200, map[string]any{"sub": op.Person.Subject, "name": op.Person.Name, "given_name": op.Person.GivenName,
		"email": op.Person.Email, "locale": op.Person.Locale})
}

func (op *OP) logout(w http.ResponseWriter, r *http.Request) {
	op.Lock()
	defer op.Unlock()
	q := r.URL.Query()
	op.LoggedOut = append(op.LoggedOut, q)
	http.Redirect(w, r, q.Get("post_logout_redirect_uri"), http.StatusSeeOther)
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
