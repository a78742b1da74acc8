package factor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
)

const (
	handleSize  = 64
	maxResponse = 32 << 10
	maxName     = 60
)

// algorithms of the keys that are accepted, the preferred one first.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// transports are the ways to a passkey that are kept; what else an
// authenticator names is of no use to anybody.
var transports = []protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal}

// party is the realm as WebAuthn sees it. Realms may share a host and so see
// each other's passkeys in the browser; here every lookup names the realm.
func party(r *realm.Realm) (*webauthn.WebAuthn, error) {
	if protocol.ValidateRPID(r.IssuerURL.Hostname()) != nil {
		return nil, ErrNoPasskeys
	}
	timeout := webauthn.TimeoutConfig{Timeout: challengeLife, TimeoutUVD: challengeLife}
	w, err := webauthn.New(&webauthn.Config{RPID: r.IssuerURL.Hostname(), RPDisplayName: issuerName(r), RPOrigins: []string{r.Origin()},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{ResidentKey: protocol.ResidentKeyRequirementRequired,
			RequireResidentKey: protocol.ResidentKeyRequired(), UserVerification: protocol.VerificationRequired},
		Timeouts: webauthn.TimeoutsConfig{Login: timeout, Registration: timeout}})
	if err != nil {
		return nil, fmt.Errorf("passkeys of %s: %w", r.Name, err)
	}
	return w, nil
}

// person is an account as WebAuthn sees it.
type person struct {
	handle      []byte
	account     account.Account
	credentials []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return p.handle }
func (p person) WebAuthnName() string                       { return p.account.LoginEmail }
func (p person) WebAuthnDisplayName() string                { return p.account.DisplayName() }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

// Creation makes the options with which the browser creates a passkey for an
// account (PublicKeyCredentialCreationOptionsJSON). They are worth five minutes
// in this browser. ErrFull, ErrNoPasskeys.
func (s *Service) Creation(ctx context.Context, r *realm.Realm, browser []byte, a account.Account) (json.RawMessage, error) {
	rp, err := party(r)
	if err != nil {
		return nil, err
	}
	keys, err := s.keysOf(ctx, r, a.ID)
	if err != nil {
		return nil, err
	}
	if len(keys) >= r.Factors.PasskeysPerPerson {
		return nil, ErrFull
	}
	p := person{account: a, credentials: credentials(keys)}
	if p.handle, err = s.handleOf(ctx, r, a.ID); err != nil {
		return nil, err
	}
	var known []protocol.CredentialDescriptor
	for _, c := range p.credentials {
		known = append(known, c.Descriptor())
	}
	challenge := s.newChallenge(ctx, r, browser, purposeCreate(a.ID))
	creation, _, err := rp.BeginRegistration(p, webauthn.WithExclusions(known), webauthn.WithCredentialParameters(algorithms),
		func(o *protocol.PublicKeyCredentialCreationOptions) error { o.Challenge = challenge; return nil })
	if err != nil {
		return nil, fmt.Errorf("begin passkey: %w", err)
	}
	return optionsJSON(creation.Response)
}

// FinishPasskey adds the passkey that the browser created. ErrChallenge,
// ErrPasskey, ErrKnown, ErrFull.
func (s *Service) FinishPasskey(ctx context.Context, r *realm.Realm, browser []byte, a account.Account, response []byte, name string, by account.By) error {
	rp, err := party(r)
	if err != nil {
		return err
	}
	c, created, err := s.created(ctx, rp, r, browser, a, response)
	if err != nil {
		return err
	}
	err = s.DB.InTx(ctx, func(ctx context.Context) error {
		a, err := s.lock(ctx, r, a)
		if err != nil {
			return err
		}
		if err := s.spend(ctx, c); err != nil {
			return err
		}
		has, err := s.Of(ctx, a.ID)
		switch {
		case err != nil:
			return err
		case has.Passkeys >= r.Factors.PasskeysPerPerson:
			return ErrFull
		}
		if err := s.storeKey(ctx, r, a.ID, created, CleanName(name)); err != nil {
			return err
		}
		return s.changed(ctx, r, a, by, change{kind: "factor.added", what: passkeyAdded, severity: audit.Warning,
			details: map[string]any{"factor": "passkey", "synced": created.Flags.BackupEligible, "aaguid": aaguid(created)}})
	})
	if err != nil {
		return fmt.Errorf("add passkey: %w", err)
	}
	return nil
}

// created verifies what the browser created (WebAuthn §7.1).
func (s *Service) created(ctx context.Context, rp *webauthn.WebAuthn, r *realm.Realm, browser []byte, a account.Account, response []byte) (challenge, *webauthn.Credential, error) {
	if len(response) > maxResponse {
		return challenge{}, nil, &Refusal{AccountID: a.ID, Why: "too long"}
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return challenge{}, nil, &Refusal{AccountID: a.ID, Why: "malformed", Err: err}
	}
	c, err := s.checkChallenge(ctx, r, browser, purposeCreate(a.ID), parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return challenge{}, nil, err
	}
	handle, err := s.handleOf(ctx, r, a.ID)
	if err != nil {
		return challenge{}, nil, err
	}
	created, err := rp.CreateCredential(person{handle: handle, account: a}, webauthn.SessionData{Challenge: c.encoded,
		RelyingPartyID: rp.Config.RPID, Origin: r.Origin(), UserID: handle, UserVerification: protocol.VerificationRequired,
		CredParams: algorithms}, parsed)
	if err != nil {
		return challenge{}, nil, &Refusal{AccountID: a.ID, Why: "not verified", Err: err}
	}
	return c, created, nil
}

// Passkeys lists the passkeys of an account, the oldest first.
func (s *Service) Passkeys(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]Passkey, error) {
	keys, err := s.keysOf(ctx, r, accountID)
	if err != nil {
		return nil, err
	}
	var list []Passkey
	for _, k := range keys {
		list = append(list, k.Passkey)
	}
	return list, nil
}

// RenamePasskey gives a passkey another name. ErrNotFound.
func (s *Service) RenamePasskey(ctx context.Context, r *realm.Realm, a account.Account, id uuid.UUID, name string, by account.By) error {
	err := s.DB.InTx(ctx, func(ctx context.Context) error {
		if _, err := s.lock(ctx, r, a); err != nil {
			return err
		}
		rows, err := s.DB.Exec(ctx, `UPDATE passkeys SET name = $4 WHERE id = $1 AND realm = $2 AND account_id = $3`,
			id, r.Name, a.ID, CleanName(name))
		if err := database.ExactlyOne(rows, err, ErrNotFound); err != nil {
			return err
		}
		return s.Audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "factor.renamed", Actor: by.Actor, Target: a.Actor(), IP: by.IP,
			Details: by.Details(map[string]any{"factor": "passkey", "passkey": id.String()})})
	})
	if err != nil {
		return fmt.Errorf("rename passkey: %w", err)
	}
	return nil
}

// RemovePasskey takes a passkey away. ErrNotFound, ErrRequired.
func (s *Service) RemovePasskey(ctx context.Context, r *realm.Realm, a account.Account, id uuid.UUID, by account.By) error {
	return s.remove(ctx, r, a, by, change{kind: "factor.removed", what: passkeyRemoved, severity: audit.High,
		details: map[string]any{"factor": "passkey", "passkey": id.String()}}, func(ctx context.Context) error {
		rows, err := s.DB.Exec(ctx, `DELETE FROM passkeys WHERE id = $1 AND realm = $2 AND account_id = $3`, id, r.Name, a.ID)
		return database.ExactlyOne(rows, err, ErrNotFound)
	})
}

// CleanName is a name as it is kept: one line, short, or "".
func CleanName(name string) string {
	name = strings.Join(strings.FieldsFunc(name, func(c rune) bool { return unicode.IsSpace(c) || !unicode.IsPrint(c) }), " ")
	if runes := []rune(name); len(runes) > maxName {
		name = strings.TrimSpace(string(runes[:maxName]))
	}
	return name
}

// key is a row of passkeys.
type key struct {
	Passkey
	accountID  uuid.UUID
	credential webauthn.Credential
}

func credentials(keys []key) []webauthn.Credential {
	var all []webauthn.Credential
	for _, k := range keys {
		all = append(all, k.credential)
	}
	return all
}

const keyColumns = `id, account_id, credential_id, public_key, sign_count, aaguid, transports, backup_eligible, backed_up,
	name, created_at, last_used_at`

func scanKey(row interface{ Scan(targets ...any) error }) (key, error) {
	var k key
	var count int64
	var via string
	var eligible, backedUp bool
	err := row.Scan(&k.ID, &k.accountID, &k.credential.ID, &k.credential.PublicKey, &count, &k.credential.Authenticator.AAGUID,
		&via, &eligible, &backedUp, &k.Name, &k.CreatedAt, &k.LastUsedAt)
	if err != nil {
		return key{}, err
	}
	k.Synced = eligible
	k.credential.Authenticator.SignCount = uint32(count) //nolint:gosec // it was one
	k.credential.Flags = webauthn.CredentialFlags{UserPresent: true, UserVerified: true, BackupEligible: eligible, BackupState: backedUp}
	for _, one := range strings.Fields(via) {
		k.credential.Transport = append(k.credential.Transport, protocol.AuthenticatorTransport(one))
	}
	return k, nil
}

func (s *Service) keysOf(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]key, error) {
	rows, err := s.DB.Query(ctx, `SELECT `+keyColumns+` FROM passkeys WHERE realm = $1 AND account_id = $2 ORDER BY created_at, id`,
		r.Name, accountID)
	keys, err := database.Collect(rows, err, func(r *database.Rows) (key, error) { return scanKey(r) })
	if err != nil {
		return nil, fmt.Errorf("find passkeys: %w", err)
	}
	return keys, nil
}

func (s *Service) storeKey(ctx context.Context, r *realm.Realm, accountID uuid.UUID, c *webauthn.Credential, name string) error {
	var via []string
	for _, t := range c.Transport {
		if slices.Contains(transports, t) && !slices.Contains(via, string(t)) {
			via = append(via, string(t))
		}
	}
	rows, err := s.DB.Exec(ctx, `
		INSERT INTO passkeys (id, realm, account_id, credential_id, public_key, sign_count, aaguid, transports,
			backup_eligible, backed_up, name, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (realm, credential_id) DO NOTHING`,
		database.NewID(), r.Name, accountID, c.ID, c.PublicKey, int64(c.Authenticator.SignCount), c.Authenticator.AAGUID,
		strings.Join(via, " "), c.Flags.BackupEligible, c.Flags.BackupState, name, s.DB.Now(ctx))
	if err := database.ExactlyOne(rows, err, ErrKnown); err != nil {
		return fmt.Errorf("store passkey: %w", err)
	}
	return nil
}

// handleOf is what authenticators know an account by, made when it is first
// needed: 64 random bytes that say nothing about the person (WebAuthn §14.6.1).
func (s *Service) handleOf(ctx context.Context, r *realm.Realm, accountID uuid.UUID) ([]byte, error) {
	find := func() (handle []byte, err error) {
		err = s.DB.QueryRow(ctx, `SELECT handle FROM passkey_handles WHERE realm = $1 AND account_id = $2`, r.Name, accountID).Scan(&handle)
		return handle, err
	}
	handle, err := find()
	if errors.Is(err, database.ErrNoRows) {
		fresh := make([]byte, handleSize)
		_, _ = rand.Read(fresh) // never fails: crypto/rand
		_, err = s.DB.Exec(ctx, `
			INSERT INTO passkey_handles (account_id, realm, handle) VALUES ($1, $2, $3)
			ON CONFLICT (account_id) DO NOTHING`, accountID, r.Name, fresh)
		if err == nil {
			handle, err = find() // perhaps the one of another page
		}
	}
	if err != nil {
		return nil, fmt.Errorf("find user handle: %w", err)
	}
	return handle, nil
}

func aaguid(c *webauthn.Credential) string {
	id, err := uuid.FromBytes(c.Authenticator.AAGUID)
	if err != nil {
		return ""
	}
	return id.String()
}

func optionsJSON(options any) (json.RawMessage, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("write options: %w", err)
	}
	return text, nil
}
