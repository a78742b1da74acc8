package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

const (
	stepCookie  = "step"
	maxStepLife = 10 * time.Minute
	// maxSteps is how many sign-ins of an account wait at once: those of known
	// browsers, and as many of strangers. Of more the oldest goes.
	maxSteps = 10
)

// errStep says that no sign-in waits for its second step in this browser, or
// not any more.
var errStep = errors.New("no sign-in waits for its second step here")

// pending is a sign-in whose password was right and that waits for its second
// step. It belongs to one browser and to the request it was begun for: carried
// into another browser or another client's request it is nothing. It is no
// session, and opens nothing but the pages of the second step.
type pending struct {
	hash      []byte // of its token
	accountID uuid.UUID
	version   int64 // the credential version whose password was right
	keep      bool
}

// beginStep notes that a password was right, in the caller's transaction. The
// token goes into a cookie. Whoever stole the password makes as many of these as
// they like, so there is a limit, and so known browsers have one of their own.
func (s *Service) beginStep(ctx context.Context, r *realm.Realm, t try, a account.Account, known bool) (secret.Token, error) {
	if _, err := s.accounts.Lock(ctx, r.Name, a.ID); err != nil { // one after another, to be counted
		return secret.Token{}, fmt.Errorf("lock account: %w", err)
	}
	tok, now := secret.NewToken(), s.db.Now(ctx)
	var b database.Batch
	b.Queue(`
		DELETE FROM signin_steps WHERE account_id = $1 AND known = $2 AND token_hash NOT IN (
			SELECT token_hash FROM signin_steps WHERE account_id = $1 AND known = $2
			ORDER BY created_at DESC, token_hash LIMIT $3)`, a.ID, known, int64(maxSteps-1))
	b.Queue(`
		INSERT INTO signin_steps (token_hash, realm, account_id, credential_version, browser_hash, flow, keep, known, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, tok.Hash(), r.Name, a.ID, a.CredentialVersion, t.browser, t.flow, t.keep, known,
		now, now.Add(min(r.Lifetimes.Interaction, maxStepLife)))
	if _, err := s.db.Batch(ctx, &b); err != nil {
		return secret.Token{}, fmt.Errorf("store sign-in that waits: %w", err)
	}
	return tok, nil
}

// findStep finds the sign-in that waits, with the account as it was when the
// password was verified: errStep when the account was closed or frozen or its
// password changed since, and when its tries are used up.
func (s *Service) findStep(ctx context.Context, r *realm.Realm, tok secret.Token, browser []byte, flow string) (pending, account.Account, error) {
	p := pending{hash: tok.Hash()}
	err := s.db.QueryRow(ctx, `
		SELECT account_id, credential_version, keep FROM signin_steps
		WHERE token_hash = $1 AND realm = $2 AND browser_hash = $3 AND flow = $4 AND used_at IS NULL AND expires_at > $5 AND tries < $6`,
		p.hash, r.Name, browser, flow, s.db.Now(ctx), int64(r.Factors.TriesPerSignIn)).Scan(&p.accountID, &p.version, &p.keep)
	if errors.Is(err, database.ErrNoRows) {
		return pending{}, account.Account{}, errStep
	}
	if err != nil {
		return pending{}, account.Account{}, fmt.Errorf("find sign-in that waits: %w", err)
	}
	a, err := s.accounts.Find(ctx, r.Name, p.accountID)
	switch {
	case errors.Is(err, account.ErrNotFound):
		return pending{}, account.Account{}, errStep
	case err != nil:
		return pending{}, account.Account{}, fmt.Errorf("find account: %w", err)
	case a.CredentialVersion != p.version || a.State != account.Active || a.FrozenAt != nil:
		return pending{}, account.Account{}, errStep
	}
	return p, a, nil
}

// countTry counts a try at the second step before it is verified, and tells
// how many are left after it. errStep when there was none left.
func (s *Service) countTry(ctx context.Context, r *realm.Realm, p pending) (left int, err error) {
	var tries int64
	err = s.db.QueryRow(ctx, `
		UPDATE signin_steps SET tries = tries + 1
		WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 AND tries < $3 RETURNING tries`,
		p.hash, s.db.Now(ctx), int64(r.Factors.TriesPerSignIn)).Scan(&tries)
	if errors.Is(err, database.ErrNoRows) {
		return 0, errStep
	}
	if err != nil {
		return 0, fmt.Errorf("count try: %w", err)
	}
	return r.Factors.TriesPerSignIn - int(tries), nil
}

// spendStep uses a sign-in that waits up, in the transaction that starts its
// session: of any number of right answers one starts one.
func (s *Service) spendStep(ctx context.Context, hash []byte) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE signin_steps SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2`, hash, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, errStep)
}

// told is when an account was first told that it has to have a second factor:
// now, for one that was not.
func (s *Service) told(ctx context.Context, accountID uuid.UUID) (at time.Time, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		_, err := s.db.Exec(ctx, `
			INSERT INTO signin_told (account_id, told_at) VALUES ($1, $2) ON CONFLICT (account_id) DO NOTHING`, accountID, s.db.Now(ctx))
		if err != nil {
			return err
		}
		return s.db.QueryRow(ctx, `SELECT told_at FROM signin_told WHERE account_id = $1`, accountID).Scan(&at)
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("note what the person was told: %w", err)
	}
	return at, nil
}

// deadline is until when an account may go without a second factor; nil when
// it need not have one. The time runs from the first sign-in that said so.
func (s *Service) deadline(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (*time.Time, error) {
	must, err := s.factors.Required(ctx, r, accountID)
	if err != nil || !must {
		return nil, err
	}
	at, err := s.told(ctx, accountID)
	if err != nil {
		return nil, err
	}
	until := at.Add(r.Factors.Grace)
	return &until, nil
}

// CleanUp deletes sign-ins that waited too long, 1,000 at a time with a pause.
func (s *Service) CleanUp(ctx context.Context) error {
	return s.db.InSteps(ctx, `
		DELETE FROM signin_steps WHERE token_hash IN (
			SELECT token_hash FROM signin_steps WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`, s.db.Now(ctx))
}

// setStep gives the browser the token of a sign-in that waits.
func setStep(c *gin.Context, r *realm.Realm, token secret.Token) {
	setStepCookie(c, r, token.Reveal(), int(maxStepLife.Seconds()))
}

func endStep(c *gin.Context, r *realm.Realm) {
	if _, err := c.Request.Cookie(r.CookieName(stepCookie)); err == nil {
		setStepCookie(c, r, "", -1)
	}
}

func setStepCookie(c *gin.Context, r *realm.Realm, value string, maxAge int) {
	http.SetCookie(c.Writer, &http.Cookie{Name: r.CookieName(stepCookie), Value: value, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func stepToken(c *gin.Context, r *realm.Realm) (secret.Token, bool) {
	cookie, err := c.Request.Cookie(r.CookieName(stepCookie))
	if err != nil {
		return secret.Token{}, false
	}
	token, err := secret.ParseToken(cookie.Value)
	return token, err == nil
}
