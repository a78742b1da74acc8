package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Invite mails an invited account the link with which its person chooses a
// password and a security question. A newer invitation replaces older ones. It
// joins the caller's transaction. ErrState when the account is not invited, or
// is frozen.
func (s *Service) Invite(ctx context.Context, r *realm.Realm, accountID uuid.UUID, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		if a.State != Invited {
			return ErrState
		}
		if a.FrozenAt != nil {
			return ErrFrozen
		}
		if err := s.voidInvitations(ctx, a.ID); err != nil {
			return err
		}
		token, now := secret.NewToken(), s.db.Now(ctx)
		id, until := database.NewID(), now.Add(r.Lifetimes.Invitation)
		if _, err := s.db.Exec(ctx, `
			INSERT INTO invitations (id, realm, account_id, token_hash, email, invited_by, practice_id,
				client_id, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
			id, r.Name, a.ID, token.Hash(), a.LoginEmail, idIn(by.Actor), idIn(by.PracticeID),
			by.ClientID, now, until); err != nil {
			return fmt.Errorf("store invitation: %w", err)
		}
		inviter := by.Name
		if inviter == "" {
			inviter = r.Brand.Name
		}
		if _, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: mail.Invite, To: a.LoginEmail,
			Locale: s.localeOf(r, a), AccountID: a.ID, TicketID: id, NotAfter: until,
			Data: map[string]string{"link": r.URL("/activate/" + token.Reveal()), "until": until.Format(time.RFC3339),
				"inviter": inviter}}); err != nil {
			return fmt.Errorf("queue letter: %w", err)
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.invited", Actor: by.Actor, Target: a.Actor(),
			PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP, Details: by.Details(nil)})
	})
	if err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	return nil
}

// idIn is the identifier in "account:<uuid>" or "<uuid>"; NULL for anybody else.
func idIn(s string) *uuid.UUID {
	id, err := uuid.Parse(strings.TrimPrefix(s, "account:"))
	if err != nil {
		return nil
	}
	return &id
}

// LastInvited tells when the account was last sent an invitation that still
// works, or returns the zero time.
func (s *Service) LastInvited(ctx context.Context, accountID uuid.UUID) (time.Time, error) {
	var at time.Time
	err := s.db.QueryRow(ctx, `
		SELECT created_at FROM invitations
		WHERE account_id = $1 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $2
		ORDER BY created_at DESC LIMIT 1`, accountID, s.db.Now(ctx)).Scan(&at)
	if errors.Is(err, database.ErrNoRows) {
		return time.Time{}, nil
	}
	return at, err
}

// InvitedSince counts the invitations sent to an account since a time.
func (s *Service) InvitedSince(ctx context.Context, accountID uuid.UUID, since time.Time) (int, error) {
	var n int64
	err := s.db.QueryRow(ctx, `SELECT COUNT(*) FROM invitations WHERE account_id = $1 AND created_at > $2`,
		accountID, since).Scan(&n)
	return int(n), err
}

// voidInvitations ends an account's open invitations, and keeps their letters
// from being sent when they still wait.
func (s *Service) voidInvitations(ctx context.Context, accountID uuid.UUID) error {
	rows, err := s.db.Query(ctx, `
		SELECT id FROM invitations WHERE account_id = $1 AND used_at IS NULL AND voided_at IS NULL`, accountID)
	open, err := database.Collect(rows, err, func(r *database.Rows) (id uuid.UUID, err error) {
		err = r.Scan(&id)
		return id, err
	})
	if err != nil || len(open) == 0 {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		UPDATE invitations SET voided_at = $2
		WHERE account_id = $1 AND used_at IS NULL AND voided_at IS NULL`, accountID, s.db.Now(ctx)); err != nil {
		return err
	}
	for _, id := range open {
		if err := s.outbox.CancelTicket(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// invitation is a link, or a browser's walk through it, as the database has it.
type invitation struct {
	ID           uuid.UUID
	ClientID     string
	Account      Account
	PasswordHash string // of the walk's first step
	FoldedHash   string // of the same password as an answer, to tell one that repeats it
	Used         bool
}

const invitationColumns = `i.id, i.client_id, i.used_at, ` + prefixed

// works is what makes an invitation count: $1 realm, $2 now.
const works = `i.realm = $1 AND i.used_at IS NULL AND i.voided_at IS NULL AND i.expires_at > $2
	AND a.realm = i.realm AND a.state = 'invited' AND a.login_email = i.email`

func scanInvitation(row scanner, more ...any) (invitation, error) {
	var inv invitation
	var used *time.Time
	targets := append([]any{&inv.ID, &inv.ClientID, &used}, inv.Account.targets()...)
	err := row.Scan(append(targets, more...)...)
	if errors.Is(err, database.ErrNoRows) {
		return invitation{}, ErrInvitation
	}
	inv.Used = used != nil
	return inv, err
}

// invitationByToken looks a link up and changes nothing.
func (s *Service) invitationByToken(ctx context.Context, r *realm.Realm, token secret.Token) (invitation, error) {
	return scanInvitation(s.db.QueryRow(ctx, `
		SELECT `+invitationColumns+` FROM invitations i JOIN accounts a ON a.id = i.account_id
		WHERE i.token_hash = $3 AND `+works, r.Name, s.db.Now(ctx), token.Hash()))
}

// openInvitation starts a walk through an invitation and returns the token of
// its flow cookie. The link keeps working until the walk ends.
func (s *Service) openInvitation(ctx context.Context, r *realm.Realm, token secret.Token) (secret.Token, error) {
	flow := secret.NewToken()
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		inv, err := s.invitationByToken(ctx, r, token)
		if err != nil {
			return err
		}
		now := s.db.Now(ctx)
		_, err = s.db.Exec(ctx, `
			INSERT INTO activation_flows (flow_hash, invitation_id, created_at, expires_at) VALUES ($1, $2, $3, $4)`,
			flow.Hash(), inv.ID, now, now.Add(r.Lifetimes.Interaction))
		return err
	})
	return flow, err
}

// walk finds the invitation that a flow cookie walks through, as long as both
// still work.
func (s *Service) walk(ctx context.Context, r *realm.Realm, flow secret.Token) (invitation, error) {
	var hash, folded string
	inv, err := scanInvitation(s.db.QueryRow(ctx, `
		SELECT `+invitationColumns+`, f.password_hash, f.folded_hash FROM activation_flows f
		JOIN invitations i ON i.id = f.invitation_id JOIN accounts a ON a.id = i.account_id
		WHERE f.flow_hash = $3 AND f.expires_at > $2 AND `+works, r.Name, s.db.Now(ctx), flow.Hash()), &hash, &folded)
	inv.PasswordHash, inv.FoldedHash = hash, folded
	return inv, err
}

// walked finds the walk that has just made an account active, for its last page.
func (s *Service) walked(ctx context.Context, r *realm.Realm, flow secret.Token) (invitation, error) {
	return scanInvitation(s.db.QueryRow(ctx, `
		SELECT `+invitationColumns+` FROM activation_flows f
		JOIN invitations i ON i.id = f.invitation_id JOIN accounts a ON a.id = i.account_id
		WHERE f.flow_hash = $3 AND f.expires_at > $2 AND i.realm = $1 AND i.used_at IS NOT NULL AND f.password_hash <> ''`,
		r.Name, s.db.Now(ctx), flow.Hash()))
}

// choosePassword is the first step: the password waits, hashed, in the walk,
// and beside it, folded and hashed like an answer. The second step has only
// the answer in the clear, and cannot guess every spelling of the password
// from it. The row lives for minutes; where the password stays, only its own
// hash is kept.
func (s *Service) choosePassword(ctx context.Context, r *realm.Realm, flow secret.Token, plain string) error {
	inv, err := s.walk(ctx, r, flow)
	if err != nil {
		return err
	}
	if err := s.CountChoice(ctx, r, inv.Account.ID); err != nil {
		return err
	}
	hash, err := s.HashPassword(ctx, r, inv.Account, plain)
	if err != nil {
		return err
	}
	folded, err := s.hasher.Hash(ctx, password.Answers, plain)
	if errors.Is(err, password.ErrEmpty) {
		folded, err = "", nil // accents alone: no answer repeats them
	}
	if err != nil {
		return fmt.Errorf("hash folded password: %w", err)
	}
	rows, err := s.db.Exec(ctx, `
		UPDATE activation_flows SET password_hash = $2, folded_hash = $3 WHERE flow_hash = $1 AND expires_at > $4`,
		flow.Hash(), hash, folded, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrInvitation)
}

// errStep says that a step was skipped.
var errStep = errors.New("an earlier step is missing")

// activate is the last step. In one transaction the invitation is spent, the
// password and the question are stored and the account becomes active.
func (s *Service) activate(ctx context.Context, r *realm.Realm, flow secret.Token, question, answer string, by By) error {
	inv, err := s.walk(ctx, r, flow)
	if err != nil {
		return err
	}
	if inv.PasswordHash == "" {
		return errStep
	}
	if err := s.CountChoice(ctx, r, inv.Account.ID); err != nil {
		return err
	}
	if inv.FoldedHash != "" && !EmptyAnswer(answer) {
		same, _, err := s.hasher.Verify(ctx, password.Answers, inv.FoldedHash, answer)
		if err != nil {
			return fmt.Errorf("compare answer and password: %w", err)
		}
		if same {
			return ErrAnswerObvious
		}
	}
	answerHash, err := s.hashAnswer(ctx, inv.Account, question, answer)
	if err != nil {
		return err
	}
	by.Actor, by.ClientID = inv.Account.Actor(), inv.ClientID
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, inv.Account.ID)
		if err != nil {
			return err
		}
		if a.State != Invited || a.FrozenAt != nil {
			return ErrInvitation
		}
		if err := s.spendInvitation(ctx, inv.ID, a.LoginEmail); err != nil {
			return err
		}
		if err := s.ReplacePassword(ctx, r, a.ID, inv.PasswordHash, Reason{Why: Activation, By: by}); err != nil {
			return err
		}
		if err := s.storeAnswer(ctx, a.ID, question, answerHash); err != nil {
			return fmt.Errorf("store answer: %w", err)
		}
		if err := s.setState(ctx, a.ID, []State{Invited}, Active); err != nil {
			return err
		}
		if err := s.ConfirmEmail(ctx, a.ID); err != nil {
			return fmt.Errorf("confirm email: %w", err)
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "account.activated", Actor: by.Actor,
			Target: by.Actor, ClientID: by.ClientID, IP: by.IP, Details: by.Details(nil)})
	})
	if err != nil {
		return fmt.Errorf("activate: %w", err)
	}
	return nil
}

// spendInvitation uses an invitation up. The WHERE clause is the lock: of two
// racing requests one changes the row, the other gets ErrInvitation.
func (s *Service) spendInvitation(ctx context.Context, id uuid.UUID, email string) error {
	rows, err := s.db.Exec(ctx, `
		UPDATE invitations SET used_at = $3
		WHERE id = $1 AND email = $2 AND used_at IS NULL AND voided_at IS NULL AND expires_at > $3`,
		id, email, s.db.Now(ctx))
	return database.ExactlyOne(rows, err, ErrInvitation)
}

// keepLinks is how long a spent or expired invitation, or change of the email,
// stays.
const keepLinks = 90 * 24 * time.Hour

// CleanUp deletes what is over: walks, ways from links and the links of notices
// at once, invitations and changes of the email after 90 days, 1,000 at a time
// with a pause.
func (s *Service) CleanUp(ctx context.Context) error {
	now := s.db.Now(ctx)
	for _, d := range []struct {
		table, key string
		before     time.Time
	}{
		{"activation_flows", "flow_hash", now},
		{"email_change_flows", "flow_hash", now},
		{"freeze_flows", "flow_hash", now},
		{"freeze_links", "token_hash", now},
		{"invitations", "id", now.Add(-keepLinks)},
		{"email_changes", "id", now.Add(-keepLinks)},
	} {
		query := `DELETE FROM ` + d.table + ` WHERE ` + d.key + ` IN (SELECT ` + d.key + ` FROM ` + d.table +
			` WHERE expires_at <= $1 ORDER BY expires_at LIMIT 1000)`
		if err := s.db.InSteps(ctx, query, d.before); err != nil {
			return fmt.Errorf("clean up %s: %w", d.table, err)
		}
	}
	return nil
}
