package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

const (
	pathRegister     = "/oauth/register"
	errTooMany       = "too_many_requests"
	registrationHour = time.Hour
)

// mountRegistration adds dynamic client registration (RFC 7591) and the
// management of a registration by its own client (RFC 7592).
func (p *Provider) mountRegistration(g gin.IRouter) {
	g.POST(pathRegister, p.registers, web.Handle(p.register))
	g.GET(pathRegister+"/:client", p.registers, web.Handle(p.showRegistration))
	g.PUT(pathRegister+"/:client", p.registers, web.Handle(p.changeRegistration))
	g.DELETE(pathRegister+"/:client", p.registers, web.Handle(p.endRegistration))
}

// registers lets requests through in realms where clients can register.
func (p *Provider) registers(c *gin.Context) {
	if !realm.From(c.Request.Context()).OAuth.Registration.Enabled() {
		p.writeError(c, &protocolError{Code: errAccessDenied, Description: "Clients cannot register themselves here.", Status: http.StatusNotFound})
	}
}

// registrationAnswer is the client information response (RFC 7591 §3.2.1).
type registrationAnswer struct {
	clientMetadata
	ID              string `json:"client_id"`
	IssuedAt        int64  `json:"client_id_issued_at"`
	Secret          string `json:"client_secret,omitempty"`
	SecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"` // with a secret; 0: never
	AccessToken     string `json:"registration_access_token"`
	URI             string `json:"registration_client_uri"`
}

// register is the registration endpoint.
func (p *Provider) register(c *gin.Context) error {
	ctx, r := c.Request.Context(), realm.From(c.Request.Context())
	answer, err := func() (*registrationAnswer, error) {
		if err := p.mayRegister(c, r); err != nil {
			return nil, err
		}
		raw, err := readJSON(c)
		if err != nil {
			return nil, err
		}
		m, err := p.readMetadata(ctx, r, raw)
		if err != nil {
			return nil, err
		}
		return p.storeRegistration(ctx, r, m, web.ClientIP(c).String())
	}()
	if err != nil {
		p.writeRegistrationError(c, err)
		return nil
	}
	return writeRegistration(c, http.StatusCreated, answer)
}

// mayRegister counts the attempt and then looks at the initial access token,
// so that nobody tries tokens without being counted.
func (p *Provider) mayRegister(c *gin.Context, r *realm.Realm) error {
	policy := r.OAuth.Registration
	if err := p.allow(c, "register:"+r.Name+":"+web.Network(c), policy.PerNetworkPerHour); err != nil {
		return err
	}
	if policy.Mode == realm.RegistrationToken {
		sent, err := registrationToken(c)
		if err != nil || !slices.ContainsFunc(policy.TokenHashes, func(hash []byte) bool {
			return subtle.ConstantTimeCompare(hash, realm.HashSecret(sent)) == 1
		}) {
			return errRegistrationToken()
		}
	}
	return p.allow(c, "register:"+r.Name, policy.PerRealmPerHour)
}

// errLimited carries how long to wait.
type errLimited struct {
	*protocolError
	after time.Duration
}

func (e errLimited) Unwrap() error { return e.protocolError }

// sayWhen tells who asked too often when to come back.
func sayWhen(c *gin.Context, err error) {
	var limited errLimited
	if errors.As(err, &limited) {
		c.Header("Retry-After", strconv.Itoa(max(1, int(limited.after.Seconds()))))
	}
}

func (p *Provider) allow(c *gin.Context, key string, limit int) error {
	ok, after, err := p.limits.Allow(c.Request.Context(), key, limit, registrationHour)
	if err != nil {
		return fmt.Errorf("count requests: %w", err)
	}
	if !ok {
		return errLimited{&protocolError{Code: errTooMany, Description: "There were too many requests. Try again later.",
			Status: http.StatusTooManyRequests}, after}
	}
	return nil
}

func errRegistrationToken() error {
	return &protocolError{Code: errInvalidToken, Description: "The access token is not valid here.", Status: http.StatusUnauthorized}
}

// registrationToken reads the bearer token of a request (RFC 6750 §2.1).
func registrationToken(c *gin.Context) (string, error) {
	headers := c.Request.Header.Values("Authorization")
	if len(headers) != 1 {
		return "", errRegistrationToken()
	}
	scheme, value, _ := strings.Cut(headers[0], " ")
	value = strings.TrimSpace(value)
	if !strings.EqualFold(scheme, "Bearer") || value == "" {
		return "", errRegistrationToken()
	}
	return value, nil
}

// readJSON reads a body of JSON.
func readJSON(c *gin.Context) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || kind != contentTypeJSON {
		return nil, refuse(errClientMetadata, "The body has to be "+contentTypeJSON+".")
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		e := refuse(errClientMetadata, "The body is too large.")
		e.Status = http.StatusRequestEntityTooLarge
		return nil, e
	case err != nil:
		e := refuse(errClientMetadata, "The body could not be read.")
		e.cause = err
		return nil, e
	}
	return raw, nil
}

// readMetadata reads and checks a document. Only when nothing else is wrong
// with it the sector's list is fetched and compared.
func (p *Provider) readMetadata(ctx context.Context, r *realm.Realm, raw []byte) (*clientMetadata, error) {
	m, err := parseMetadata(r, raw, p.outbound.Check)
	if err != nil || m.SectorURI == "" {
		return m, err
	}
	list, err := documents{p.outbound}.Document(ctx, m.SectorURI, true)
	var uris []string
	if err == nil {
		err = json.Unmarshal(list, &uris)
	}
	if err == nil && !within(m.RedirectURIs, uris) {
		err = errors.New("a redirect URI is not in the list")
	}
	if err != nil {
		e := refuse(errClientMetadata, "The document at the sector_identifier_uri is not a list of at least all redirect_uris.")
		e.cause = fmt.Errorf("sector: %v", err) // not wrapped: their outage is not ours
		return nil, e
	}
	return m, nil
}

// storeRegistration gives a new client its name, its secret and the token for
// its registration. Only hashes of the two are kept.
func (p *Provider) storeRegistration(ctx context.Context, r *realm.Realm, m *clientMetadata, ip string) (*registrationAnswer, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	access := secret.NewToken()
	answer := &registrationAnswer{clientMetadata: *m, ID: realm.RegisteredPrefix + base64.RawURLEncoding.EncodeToString(id), AccessToken: access.Reveal()}
	answer.URI = r.URL(pathRegister + "/" + answer.ID)
	hash := answer.giveSecret()
	stored, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode registration: %w", err)
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		now := p.db.Now(ctx)
		answer.IssuedAt = now.Unix()
		_, err := p.db.Exec(ctx, `
			INSERT INTO registered_clients (realm, client_id, metadata, sector, secret_hash, access_hash, version,
				created_at, updated_at, unused_since)
			VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $7, $7)`,
			r.Name, answer.ID, string(stored), m.sector(), hash, access.Hash(), now)
		if err != nil {
			return fmt.Errorf("store registration: %w", err)
		}
		return p.audit.Record(ctx, registrationEvent(r, answer.ID, "client.registered", ip))
	})
	return answer, err
}

// giveSecret makes a secret for a client that authenticates with one, and
// returns its hash; nil for every other client.
func (a *registrationAnswer) giveSecret() []byte {
	if a.AuthMethod != realm.AuthBasic && a.AuthMethod != realm.AuthPost {
		return nil
	}
	never := int64(0)
	a.Secret, a.SecretExpiresAt = secret.NewToken().Reveal(), &never
	return realm.HashSecret(a.Secret)
}

func registrationEvent(r *realm.Realm, id, kind, ip string) audit.Event {
	return audit.Event{Realm: r.Name, Kind: kind, Actor: audit.Client(id), Target: audit.Client(id), ClientID: id, IP: ip}
}

// ownRegistration finds the registration that a request manages. That there is
// no such client, and that the token is another one's, is the same answer
// (RFC 7592 §2.1).
func (p *Provider) ownRegistration(c *gin.Context, r *realm.Realm) (*registration, string, error) {
	id := c.Param("client")
	sent, err := registrationToken(c)
	if err != nil {
		return nil, "", err
	}
	access, err := secret.ParseToken(sent)
	if err != nil || !registeredID(id) {
		return nil, "", errRegistrationToken()
	}
	row, err := p.registered.read(c.Request.Context(), r, id)
	switch {
	case errors.Is(err, errNoClient):
		// Counting tries at names that are made up would fill the database.
		return nil, "", errRegistrationToken()
	case err != nil:
		return nil, "", err
	}
	if err := p.allow(c, "registration:"+r.Name+":"+id+":"+web.Network(c), r.OAuth.Registration.ChangesPerClientHour); err != nil {
		return nil, "", err
	}
	switch {
	case subtle.ConstantTimeCompare(row.accessHash, access.Hash()) != 1:
		return nil, "", errRegistrationToken()
	}
	return row, sent, nil
}

// showRegistration is the client reading itself (RFC 7592 §2.1). The secret is
// not in the answer: only its hash is known here.
func (p *Provider) showRegistration(c *gin.Context) error {
	r := realm.From(c.Request.Context())
	row, access, err := p.ownRegistration(c, r)
	if err != nil {
		p.writeRegistrationError(c, err)
		return nil
	}
	return writeRegistration(c, http.StatusOK, row.answer(r, row.metadata, access))
}

func (row *registration) answer(r *realm.Realm, m *clientMetadata, access string) *registrationAnswer {
	return &registrationAnswer{clientMetadata: *m, ID: row.id, IssuedAt: row.createdAt.Unix(),
		AccessToken: access, URI: r.URL(pathRegister + "/" + row.id)}
}

// changeRegistration replaces what is registered (RFC 7592 §2.2): what is left
// out is gone. A secret is made anew only for a client that had none.
func (p *Provider) changeRegistration(c *gin.Context) error {
	ctx, r := c.Request.Context(), realm.From(c.Request.Context())
	answer, err := func() (*registrationAnswer, error) {
		row, access, err := p.ownRegistration(c, r)
		if err != nil {
			return nil, err
		}
		raw, err := readJSON(c)
		if err != nil {
			return nil, err
		}
		if err := row.sameClient(raw); err != nil {
			return nil, err
		}
		m, err := p.readMetadata(ctx, r, raw)
		if err != nil {
			return nil, err
		}
		answer := row.answer(r, m, access)
		hash := row.secretHash
		usesSecret := m.AuthMethod == realm.AuthBasic || m.AuthMethod == realm.AuthPost
		if !usesSecret {
			hash = nil
		} else if hash == nil {
			hash = answer.giveSecret()
		}
		return answer, p.updateRegistration(ctx, r, row, m, hash, web.ClientIP(c).String())
	}()
	if err != nil {
		p.writeRegistrationError(c, err)
		return nil
	}
	return writeRegistration(c, http.StatusOK, answer)
}

// sameClient checks that an update names its client, and no secret but its own.
func (row *registration) sameClient(raw []byte) error {
	var named struct {
		ID     string  `json:"client_id"`
		Secret *string `json:"client_secret"`
	}
	if err := json.Unmarshal(raw, &named); err != nil || named.ID != row.id {
		return metadataError("The client_id is missing or another client's.")
	}
	if named.Secret != nil && subtle.ConstantTimeCompare(realm.HashSecret(*named.Secret), row.secretHash) != 1 {
		return metadataError("The client_secret is not the one of this client; it cannot be chosen.")
	}
	return nil
}

func (p *Provider) updateRegistration(ctx context.Context, r *realm.Realm, row *registration, m *clientMetadata, hash []byte, ip string) error {
	stored, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode registration: %w", err)
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		rows, err := p.db.Exec(ctx, `
			UPDATE registered_clients SET metadata = $1, sector = $2, secret_hash = $3, updated_at = $4, version = version + 1
			WHERE realm = $5 AND client_id = $6 AND version = $7`,
			string(stored), m.sector(), hash, p.db.Now(ctx), r.Name, row.id, row.version)
		if err := database.ExactlyOne(rows, err, errChangedMeanwhile); errors.Is(err, errChangedMeanwhile) {
			return p.whyUnchanged(ctx, r, row.id)
		} else if err != nil {
			return fmt.Errorf("change registration: %w", err)
		}
		// People agreed to the client as it was.
		if err := p.forgetConsents(ctx, r.Name, row.id); err != nil {
			return err
		}
		return p.audit.Record(ctx, registrationEvent(r, row.id, "client.changed", ip))
	})
}

// errChangedMeanwhile is the answer to a change that another one overtook: the
// client still exists, and its token is right.
var errChangedMeanwhile = &protocolError{Code: "conflict", Status: http.StatusConflict,
	Description: "The registration was changed by another request meanwhile. Read it, and send the change again."}

// whyUnchanged tells a registration that was changed since it was read from one
// that is gone.
func (p *Provider) whyUnchanged(ctx context.Context, r *realm.Realm, id string) error {
	switch _, err := p.registered.read(ctx, r, id); {
	case errors.Is(err, errNoClient):
		return errRegistrationToken()
	case err != nil:
		return err
	}
	return errChangedMeanwhile
}

// forgetConsents joins the caller's transaction.
func (p *Provider) forgetConsents(ctx context.Context, realmName, id string) error {
	if _, err := p.db.Exec(ctx, `DELETE FROM consents WHERE realm = $1 AND client_id = $2`, realmName, id); err != nil {
		return fmt.Errorf("forget consents: %w", err)
	}
	return nil
}

// endRegistration deletes the client (RFC 7592 §2.3) and what people agreed to
// for it. From then on nothing of what it holds works: see liveGrant and
// readAccess.
func (p *Provider) endRegistration(c *gin.Context) error {
	ctx, r := c.Request.Context(), realm.From(c.Request.Context())
	row, _, err := p.ownRegistration(c, r)
	if err == nil {
		err = p.db.InTx(ctx, func(ctx context.Context) error {
			rows, err := p.db.Exec(ctx, `DELETE FROM registered_clients WHERE realm = $1 AND client_id = $2`, r.Name, row.id)
			if err := database.ExactlyOne(rows, err, errRegistrationToken()); err != nil {
				return fmt.Errorf("delete registration: %w", err)
			}
			if err := p.forgetConsents(ctx, r.Name, row.id); err != nil {
				return err
			}
			return p.audit.Record(ctx, registrationEvent(r, row.id, "client.deleted", web.ClientIP(c).String()))
		})
	}
	if err != nil {
		p.writeRegistrationError(c, err)
		return nil
	}
	noStore(c)
	c.Status(http.StatusNoContent)
	c.Writer.WriteHeaderNow()
	return nil
}

// read reads a registration; errNoClient.
func (s *registrations) read(ctx context.Context, r *realm.Realm, id string) (*registration, error) {
	row := registration{id: id, metadata: &clientMetadata{}}
	var stored string
	err := s.db.QueryRow(ctx, `
		SELECT metadata, sector, secret_hash, access_hash, version, created_at, unused_since IS NOT NULL FROM registered_clients
		WHERE realm = $1 AND client_id = $2`, r.Name, id).
		Scan(&stored, &row.sector, &row.secretHash, &row.accessHash, &row.version, &row.createdAt, &row.unused)
	if errors.Is(err, database.ErrNoRows) {
		return nil, errNoClient
	}
	if err != nil {
		return nil, fmt.Errorf("find registered client: %w", err)
	}
	if err := json.Unmarshal([]byte(stored), row.metadata); err != nil {
		return nil, fmt.Errorf("decode registration of %s: %w", id, err)
	}
	return &row, nil
}

func writeRegistration(c *gin.Context, status int, answer *registrationAnswer) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode registration: %w", err)
	}
	noStore(c)
	c.Data(status, contentTypeJSON, body)
	return nil
}

// writeRegistrationError answers in the words of RFC 7591 §3.2.2, and of RFC
// 6750 where it is about the token.
func (p *Provider) writeRegistrationError(c *gin.Context, err error) {
	sayWhen(c, err)
	e := asProtocol(err)
	if e.Status == http.StatusUnauthorized {
		p.writeBearerError(c, err, "")
		return
	}
	p.writeError(c, err)
}

func names(algorithms []jose.SignatureAlgorithm) []string {
	out := make([]string, 0, len(algorithms))
	for _, alg := range algorithms {
		out = append(out, string(alg))
	}
	return out
}
