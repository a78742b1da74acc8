package oauth

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
)

// write is one statement of a unit's batch. When it has a lost error and
// matches no row, somebody else was faster, or what it builds on is gone.
type write struct {
	query string
	args  []any
	lost  error
}

// claimCode spends a code. Of parallel redemptions one matches; the mark lets
// the next statement build on the very row that was claimed.
func claimCode(now time.Time, hash []byte, mark uuid.UUID) write {
	return write{`
		UPDATE authorization_codes SET used_at = $1, used_by = $2
		WHERE code_hash = $3 AND used_at IS NULL AND expires_at > $1
			AND EXISTS (SELECT 1 FROM ` + grantTables + ` WHERE g.id = authorization_codes.grant_id AND ` + liveGrant + `)`,
		[]any{now, mark, hash}, errLost}
}

// refreshFromCode stores the first refresh token of a grant.
func refreshFromCode(now, expires time.Time, code []byte, mark uuid.UUID, token []byte, scopes []string) write {
	return write{`
		INSERT INTO refresh_tokens (token_hash, grant_id, scopes, created_at, expires_at)
		SELECT $1, c.grant_id, $2, $3, $4 FROM authorization_codes c
		WHERE c.code_hash = $5 AND c.used_by = $6`,
		[]any{token, strings.Join(scopes, " "), now, expires, code, mark}, errLost}
}

// claimRefresh spends a refresh token.
func claimRefresh(now time.Time, hash []byte, mark uuid.UUID) write {
	return write{`
		UPDATE refresh_tokens SET used_at = $1, used_by = $2
		WHERE token_hash = $3 AND used_at IS NULL AND expires_at > $1
			AND EXISTS (SELECT 1 FROM ` + grantTables + ` WHERE g.id = refresh_tokens.grant_id AND ` + liveGrant + `)`,
		[]any{now, mark, hash}, errLost}
}

// refreshFromRefresh stores the successor. Its scopes are those of its parent:
// narrowing concerns an access token only (RFC 6749 §6).
func refreshFromRefresh(now, expires time.Time, parent []byte, mark uuid.UUID, token []byte) write {
	return write{`
		INSERT INTO refresh_tokens (token_hash, grant_id, scopes, parent, created_at, expires_at)
		SELECT $1, t.grant_id, t.scopes, t.token_hash, $2, $3 FROM refresh_tokens t
		WHERE t.token_hash = $4 AND t.used_by = $5`,
		[]any{token, now, expires, parent, mark}, errLost}
}

// claimRepeat counts a repetition of a refresh whose answer got lost. It
// matches only while the successor is unspent, that is while the token is the
// immediate predecessor, and only maxRepeats times.
func claimRepeat(now, since time.Time, hash, successor []byte) write {
	return write{`
		UPDATE refresh_tokens SET retries = retries + 1
		WHERE token_hash = $2 AND used_at > $3 AND retries < $4
			AND EXISTS (SELECT 1 FROM refresh_tokens n WHERE n.token_hash = $5 AND n.used_at IS NULL AND n.expires_at > $1)
			AND EXISTS (SELECT 1 FROM ` + grantTables + ` WHERE g.id = refresh_tokens.grant_id AND ` + liveGrant + `)`,
		[]any{now, hash, since, int64(maxRepeats), successor}, errRepeat}
}

// insertGrant stores a grant if the session still is what the browser showed
// and, where consent is needed, the account still has agreed. For exact, the
// consent has to be for exactly the scopes agreed to now, which spares reading
// it first.
func insertGrant(realmName string, now time.Time, g *grant, client *realm.Client, consent consentRule, agreed []string) (write, error) {
	data, err := json.Marshal(grantData{AuthTime: g.AuthTime.Unix(), ACR: g.ACR, AMR: g.AMR, Claims: g.Claims})
	if err != nil {
		return write{}, fmt.Errorf("encode grant: %w", err)
	}
	w := write{`
		INSERT INTO grants (id, realm, client_id, account_id, session_id, scopes, audiences, session_data,
			credential_version, created_at, expires_at)
		SELECT $2, $3, $4, a.id, s.id, $5, $6, $7, a.credential_version, $8, $9
		FROM sessions s JOIN accounts a ON a.id = s.account_id
		WHERE s.id = $10 AND s.account_id = $11 AND s.realm = $3 AND s.ended_at IS NULL AND s.expires_at > $1
			AND a.realm = $3 AND a.state = 'active'`,
		[]any{now, g.ID, realmName, g.ClientID, canonical(g.Scopes), strings.Join(g.Audiences, " "), string(data),
			now, g.ExpiresAt, g.SessionID, g.AccountID}, errNotLive}
	if registeredID(g.ClientID) { // as the checks saw it: it leads where the person was told
		w.args = append(w.args, client.Version)
		w.query += fmt.Sprintf(` AND EXISTS (SELECT 1 FROM registered_clients c
			WHERE c.realm = $3 AND c.client_id = $4 AND c.version = $%d)`, len(w.args))
	}
	switch consent {
	case consentExact:
		w.args = append(w.args, canonical(agreed))
		w.query += fmt.Sprintf(` AND EXISTS (SELECT 1 FROM consents k
			WHERE k.realm = $3 AND k.account_id = a.id AND k.client_id = $4 AND k.scopes = $%d)`, len(w.args))
	case consentCovers:
		w.query += ` AND EXISTS (SELECT 1 FROM consents k
			WHERE k.realm = $3 AND k.account_id = a.id AND k.client_id = $4)`
	}
	return w, nil
}

// sessionUsed notes for which client a session was used: whom to tell when it
// ends. It stands after the grant, which it builds on.
func sessionUsed(realmName string, g *grant) write {
	return write{`
		INSERT INTO session_clients (session_id, realm, client_id)
		SELECT session_id, realm, client_id FROM grants WHERE id = $1 AND realm = $2
		ON CONFLICT (session_id, realm, client_id) DO NOTHING`, []any{g.ID, realmName}, nil}
}

// clientUsed notes that a client that registered itself got tokens, once.
func clientUsed(realmName, id string) write {
	return write{`
		UPDATE registered_clients SET unused_since = NULL WHERE realm = $1 AND client_id = $2 AND unused_since IS NOT NULL`,
		[]any{realmName, id}, nil}
}

// insertCode fails on its foreign key when the grant was not stored, and takes
// the whole batch with it.
func insertCode(now, expires time.Time, hash []byte, grantID uuid.UUID, d codeData) (write, error) {
	data, err := json.Marshal(d)
	if err != nil {
		return write{}, fmt.Errorf("encode code: %w", err)
	}
	return write{`
		INSERT INTO authorization_codes (code_hash, grant_id, request, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5)`, []any{hash, grantID, string(data), now, expires}, nil}, nil
}

func revokeGrant(realmName string, now time.Time, id uuid.UUID, reason string) write {
	return write{`
		UPDATE grants SET revoked_at = $1, revoke_reason = $2 WHERE id = $3 AND realm = $4 AND revoked_at IS NULL`,
		[]any{now, reason, id, realmName}, nil}
}

func revokeAlone(realmName, jti string, expires time.Time) write {
	return write{`
		INSERT INTO revoked_access_tokens (realm, jti, expires_at) VALUES ($1, $2, $3)
		ON CONFLICT (realm, jti) DO NOTHING`, []any{realmName, jti, expires}, nil}
}
