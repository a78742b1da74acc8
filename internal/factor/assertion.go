package factor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

// Assertion makes the options with which the browser asks for a passkey
// (PublicKeyCredentialRequestOptionsJSON): one of the account, or, with a nil,
// any that the realm knows. They are worth five minutes in this browser. nil
// and no error: there is no passkey to ask for, because the account has none
// or the realm cannot have any (its host is an IP address).
func (s *Service) Assertion(ctx context.Context, r *realm.Realm, browser []byte, a *account.Account) (json.RawMessage, error) {
	rp, err := party(r)
	switch {
	case errors.Is(err, ErrNoPasskeys):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if a == nil {
		options, _, err := rp.BeginDiscoverableLogin(webauthn.WithChallenge(s.newChallenge(ctx, r, browser, purposeSignIn)))
		if err != nil {
			return nil, fmt.Errorf("ask for passkey: %w", err)
		}
		return optionsJSON(options.Response)
	}
	keys, err := s.keysOf(ctx, r, a.ID)
	if err != nil || len(keys) == 0 {
		return nil, err
	}
	p := person{account: *a, credentials: credentials(keys)}
	if p.handle, err = s.handleOf(ctx, r, a.ID); err != nil {
		return nil, err
	}
	options, _, err := rp.BeginLogin(p, webauthn.WithChallenge(s.newChallenge(ctx, r, browser, purposeStep(a.ID))))
	if err != nil {
		return nil, fmt.Errorf("ask for passkey: %w", err)
	}
	return optionsJSON(options.Response)
}

// VerifyAssertion verifies what a passkey answered (WebAuthn §7.2) and uses
// the challenge up. want is the account whose second step it is, or nil for a
// sign-in with a passkey alone. ErrChallenge, ErrPasskey; a *Refusal says more
// for the audit trail. Whether the account may sign in is the caller's to
// find out.
//
// Call it outside of a transaction: a refusal must not undo what it records.
func (s *Service) VerifyAssertion(ctx context.Context, r *realm.Realm, browser []byte, response []byte, want *uuid.UUID) (Proof, error) {
	if s.DB.InTransaction(ctx) {
		return Proof{}, errors.New("verify passkey: inside a transaction")
	}
	rp, err := party(r)
	if err != nil {
		return Proof{}, err
	}
	if len(response) > maxResponse {
		return Proof{}, &Refusal{Why: "too long"}
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return Proof{}, &Refusal{Why: "malformed", Err: err}
	}
	purpose := purposeSignIn
	if want != nil {
		purpose = purposeStep(*want)
	}
	c, err := s.checkChallenge(ctx, r, browser, purpose, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return Proof{}, err
	}
	k, err := s.asserted(ctx, rp, r, c, parsed, want)
	if err != nil {
		return Proof{}, err
	}
	return s.accept(ctx, r, c, k)
}

// Claimed is the account of the passkey that a response names, or uuid.Nil. It
// verifies nothing: whoever knows the name of a passkey can claim it.
func (s *Service) Claimed(ctx context.Context, r *realm.Realm, response []byte) (uuid.UUID, error) {
	var named struct {
		ID string `json:"id"`
	}
	if len(response) > maxResponse || json.Unmarshal(response, &named) != nil {
		return uuid.Nil, nil
	}
	id, err := base64.RawURLEncoding.DecodeString(named.ID)
	if err != nil || len(id) == 0 {
		return uuid.Nil, nil
	}
	k, err := s.keyByCredential(ctx, r, id)
	if errors.Is(err, ErrNotFound) {
		return uuid.Nil, nil
	}
	return k.accountID, err
}

// asserted finds the passkey and verifies its signature. The key that is
// returned has the new sign count and flags.
func (s *Service) asserted(ctx context.Context, rp *webauthn.WebAuthn, r *realm.Realm, c challenge, parsed *protocol.ParsedCredentialAssertionData, want *uuid.UUID) (key, error) {
	k, err := s.keyByCredential(ctx, r, parsed.RawID)
	switch {
	case errors.Is(err, ErrNotFound):
		return key{}, &Refusal{Why: "unknown"}
	case err != nil:
		return key{}, err
	case want != nil && k.accountID != *want:
		return key{}, &Refusal{AccountID: *want, Why: "of another account"}
	}
	handle, err := s.handleOf(ctx, r, k.accountID)
	if err != nil {
		return key{}, err
	}
	p := person{handle: handle, credentials: []webauthn.Credential{k.credential}}
	session := webauthn.SessionData{Challenge: c.encoded, RelyingPartyID: rp.Config.RPID, Origin: r.Origin(),
		UserVerification: protocol.VerificationRequired}
	var verified *webauthn.Credential
	if want != nil {
		session.UserID, session.AllowedCredentialIDs = handle, [][]byte{k.credential.ID}
		verified, err = rp.ValidateLogin(p, session, parsed)
	} else {
		_, verified, err = rp.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return p, nil }, session, parsed)
	}
	if err != nil {
		return key{}, &Refusal{AccountID: k.accountID, Why: "not verified", Err: err}
	}
	k.credential = *verified
	// The library keeps the old count when the new one is not higher.
	k.credential.Authenticator.SignCount = parsed.Response.AuthenticatorData.Counter
	return k, nil
}

// accept spends the challenge and moves the sign count on, together. A count
// that does not grow says that there are two authenticators with one key
// (WebAuthn §6.1.1): refused and reported, unless the key is one that syncs
// between devices, which have no count in common.
func (s *Service) accept(ctx context.Context, r *realm.Realm, c challenge, k key) (Proof, error) {
	cloned := false
	var since time.Time
	err := s.DB.InTx(ctx, func(ctx context.Context) error {
		cloned = false
		if err := s.spend(ctx, c); err != nil {
			return err
		}
		count := int64(k.credential.Authenticator.SignCount)
		err := s.DB.QueryRow(ctx, `
			UPDATE passkeys SET sign_count = $3, backed_up = $4, last_used_at = $5
			WHERE id = $1 AND realm = $2 AND (backup_eligible = $6 OR sign_count < $3 OR sign_count = 0 AND $3 = 0)
			RETURNING `+oldest("$7"),
			k.ID, r.Name, count, k.credential.Flags.BackupState, s.DB.Now(ctx), true, k.accountID).Scan(&since)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, database.ErrNoRows):
			return fmt.Errorf("use passkey: %w", err)
		}
		if _, err := s.keyByCredential(ctx, r, k.credential.ID); errors.Is(err, ErrNotFound) {
			return &Refusal{AccountID: k.accountID, Why: "removed meanwhile"}
		} else if err != nil {
			return err
		}
		cloned = true
		return s.Audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "passkey.cloned", Outcome: audit.Failure, Severity: audit.High,
			Actor: "anonymous", Target: account.Actor(k.accountID), Details: map[string]any{"passkey": k.ID.String(), "count": count}})
	})
	switch {
	case err != nil:
		return Proof{}, err
	case cloned:
		return Proof{}, &Refusal{AccountID: k.accountID, Why: "cloned"}
	}
	amr := []string{"hwk", "user", "mfa"}
	if k.Synced {
		amr[0] = "swk"
	}
	return Proof{AccountID: k.accountID, PasskeyName: k.Name, AMR: amr, Since: since}, nil
}

func (s *Service) keyByCredential(ctx context.Context, r *realm.Realm, credentialID []byte) (key, error) {
	k, err := scanKey(s.DB.QueryRow(ctx, `SELECT `+keyColumns+` FROM passkeys WHERE realm = $1 AND credential_id = $2`, r.Name, credentialID))
	switch {
	case errors.Is(err, database.ErrNoRows):
		return key{}, ErrNotFound
	case err != nil:
		return key{}, fmt.Errorf("find passkey: %w", err)
	}
	return k, nil
}
