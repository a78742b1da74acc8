package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// liveGrant is the condition under which a grant g may still issue anything.
// It stands in every statement that spends a code or a token, so that nothing
// that happened since the read is missed: account a active and with the
// credentials of then, session s not ended, grant neither revoked nor over, a
// client that registered itself still registered.
// $1 is always the time.
const liveGrant = `g.revoked_at IS NULL AND g.expires_at > $1
	AND a.state = 'active' AND a.realm = g.realm AND a.credential_version = g.credential_version
	AND s.ended_at IS NULL
	AND (substr(g.client_id, 1, 4) <> '` + realm.RegisteredPrefix + `'
		OR EXISTS (SELECT 1 FROM registered_clients k WHERE k.realm = g.realm AND k.client_id = g.client_id))`

// grantTables joins a grant with what liveGrant looks at. A session row is
// deleted long after it ended; without one there is nothing to object to.
const grantTables = ` grants g JOIN accounts a ON a.id = g.account_id LEFT JOIN sessions s ON s.id = g.session_id `

const grantColumns = `g.id, g.client_id, g.account_id, g.session_id, g.scopes, g.audiences, g.session_data,
	g.expires_at, g.revoked_at, a.state, a.realm, g.realm, a.credential_version, g.credential_version, s.ended_at,
	COALESCE((SELECT k.version FROM registered_clients k WHERE k.realm = g.realm AND k.client_id = g.client_id), 0)`

// grantScan reads grantColumns.
type grantScan struct {
	who                      *account
	g                        grant
	scopes, audiences, data  string
	revokedAt, endedAt       *time.Time
	state, aRealm, gRealm    string
	accountVersion, gVersion int64
}

func (s *grantScan) targets() []any {
	return []any{&s.g.ID, &s.g.ClientID, &s.g.AccountID, &s.g.SessionID, &s.scopes, &s.audiences, &s.data,
		&s.g.ExpiresAt, &s.revokedAt, &s.state, &s.aRealm, &s.gRealm, &s.accountVersion, &s.gVersion, &s.endedAt, &s.g.ClientVersion}
}

func (s *grantScan) grant(now time.Time) (*grant, error) {
	g := s.g
	g.Who = s.who
	g.Scopes, g.Audiences = strings.Fields(s.scopes), strings.Fields(s.audiences)
	var d grantData
	if err := json.Unmarshal([]byte(s.data), &d); err != nil {
		return nil, fmt.Errorf("decode grant %s: %w", g.ID, err)
	}
	g.AuthTime, g.ACR, g.AMR, g.Claims = time.Unix(d.AuthTime, 0), d.ACR, d.AMR, d.Claims
	// The same as liveGrant, for the answer; the statement decides.
	g.Live = s.revokedAt == nil && s.endedAt == nil && g.ExpiresAt.After(now) &&
		s.state == "active" && s.aRealm == s.gRealm && s.accountVersion == s.gVersion
	return &g, nil
}

// grantData is the sign-in behind a grant, in its column session_data.
type grantData struct {
	Claims   *claimsRequest `json:"claims,omitempty"`
	AuthTime int64          `json:"auth_time"` // seconds since 1970
	ACR      string         `json:"acr,omitempty"`
	AMR      []string       `json:"amr,omitempty"`
}

// codeData is what a code remembers of its request.
type codeData struct {
	RedirectURI string `json:"redirect_uri"`
	Nonce       string `json:"nonce,omitempty"`
	Challenge   string `json:"code_challenge,omitempty"` // always S256
}

type codeRow struct {
	hash      []byte
	grant     *grant
	data      codeData
	expiresAt time.Time
	usedAt    *time.Time
}

type refreshRow struct {
	hash      []byte
	grant     *grant
	expiresAt time.Time
	usedAt    *time.Time
	retries   int64

	successor       []byte     // hash of the token that follows this one
	successorKnown  bool       // it was handed out
	successorUsedAt *time.Time // and spent
	repeat          bool       // the client asks again for an answer that got lost
}

// accountColumns are what claims are made of.
const accountColumns = `a.login_email, a.email_verified, a.given_name, a.family_name, a.name, a.locale, a.profile, a.updated_at`

// accountScan reads accountColumns.
type accountScan struct {
	a       account
	profile string
}

func (s *accountScan) targets() []any {
	return []any{&s.a.LoginEmail, &s.a.EmailVerified, &s.a.GivenName, &s.a.FamilyName, &s.a.Name, &s.a.Locale, &s.profile, &s.a.UpdatedAt}
}

func (s *accountScan) account() *account {
	a := s.a
	a.Profile = json.RawMessage(s.profile)
	return &a
}

// findCode reads a code with everything its redemption needs; nil when the
// realm has none with this hash.
func (p *Provider) findCode(ctx context.Context, r *realm.Realm, now time.Time, hash []byte) (*codeRow, error) {
	row := codeRow{hash: hash}
	var data string
	var s grantScan
	var who accountScan
	err := p.db.QueryRow(ctx, `
		SELECT c.request, c.expires_at, c.used_at, `+accountColumns+`, `+grantColumns+`
		FROM `+grantTables+` JOIN authorization_codes c ON c.grant_id = g.id
		WHERE c.code_hash = $1 AND g.realm = $2`, hash, r.Name).
		Scan(slices.Concat([]any{&data, &row.expiresAt, &row.usedAt}, who.targets(), s.targets())...)
	if errors.Is(err, database.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find code: %w", err)
	}
	if err := json.Unmarshal([]byte(data), &row.data); err != nil {
		return nil, fmt.Errorf("decode code: %w", err)
	}
	s.who = who.account()
	row.grant, err = s.grant(now)
	return &row, err
}

// findRefresh reads a refresh token and what became of its successor.
func (p *Provider) findRefresh(ctx context.Context, r *realm.Realm, now time.Time, hash, successor []byte) (*refreshRow, error) {
	row := refreshRow{hash: hash, successor: successor}
	var s grantScan
	var who accountScan
	var child []byte
	err := p.db.QueryRow(ctx, `
		SELECT t.expires_at, t.used_at, t.retries, n.token_hash, n.used_at, `+accountColumns+`, `+grantColumns+`
		FROM `+grantTables+` JOIN refresh_tokens t ON t.grant_id = g.id
		LEFT JOIN refresh_tokens n ON n.token_hash = $3
		WHERE t.token_hash = $1 AND g.realm = $2`, hash, r.Name, successor).
		Scan(slices.Concat([]any{&row.expiresAt, &row.usedAt, &row.retries, &child, &row.successorUsedAt}, who.targets(), s.targets())...)
	if errors.Is(err, database.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find refresh token: %w", err)
	}
	row.successorKnown = child != nil
	s.who = who.account()
	row.grant, err = s.grant(now)
	return &row, err
}

// account is what claims are made of.
type account struct {
	LoginEmail                          string
	EmailVerified                       bool
	GivenName, FamilyName, Name, Locale string
	Profile                             json.RawMessage
	UpdatedAt                           time.Time
}

// findGrant reads a live grant and its account; nil when the grant is not, or
// no longer, alive.
func (p *Provider) findGrant(ctx context.Context, r *realm.Realm, id uuid.UUID) (*grant, *account, error) {
	now := p.db.Now(ctx)
	var s grantScan
	var who accountScan
	err := p.db.QueryRow(ctx, `
		SELECT `+accountColumns+`, `+grantColumns+`
		FROM `+grantTables+` WHERE g.id = $1 AND g.realm = $2`, id, r.Name).
		Scan(append(who.targets(), s.targets()...)...)
	if errors.Is(err, database.ErrNoRows) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find grant: %w", err)
	}
	s.who = who.account()
	g, err := s.grant(now)
	if err != nil || !g.Live {
		return nil, nil, err
	}
	return g, g.Who, nil
}

// readWho reads the account of a sign-in, if its ID token is to tell about it.
func (p *Provider) readWho(ctx context.Context, r *realm.Realm, s *signIn) error {
	if !s.alone && !aboutPerson(s.grant.Claims.forIDToken()) {
		return nil
	}
	var who accountScan
	err := p.db.QueryRow(ctx, `SELECT `+accountColumns+` FROM accounts a WHERE a.id = $1 AND a.realm = $2`,
		s.grant.AccountID, r.Name).Scan(who.targets()...)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	s.grant.Who = who.account()
	return nil
}

// revokedAlone reports whether an access token without a grant was revoked.
func (p *Provider) revokedAlone(ctx context.Context, r *realm.Realm, jti string) (bool, error) {
	var one int64
	err := p.db.QueryRow(ctx, `SELECT 1 FROM revoked_access_tokens WHERE realm = $1 AND jti = $2`, r.Name, jti).Scan(&one)
	if errors.Is(err, database.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find revoked token: %w", err)
	}
	return true, nil
}

// consented reports whether an account has agreed before to all these scopes
// for a client.
func (p *Provider) consented(ctx context.Context, r *realm.Realm, accountID uuid.UUID, clientID string, scopes []string) (bool, error) {
	var known string
	err := p.db.QueryRow(ctx, `
		SELECT scopes FROM consents WHERE realm = $1 AND account_id = $2 AND client_id = $3`,
		r.Name, accountID, clientID).Scan(&known)
	if errors.Is(err, database.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find consent: %w", err)
	}
	return within(scopes, strings.Fields(known)), nil
}

// within reports whether all of part are in whole.
func within(part, whole []string) bool {
	for _, one := range part {
		found := false
		for _, other := range whole {
			found = found || one == other
		}
		if !found {
			return false
		}
	}
	return true
}
