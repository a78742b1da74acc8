package account

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/audit"
	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/mail"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
	"github.com/portico-id/portico/internal/web"
)

// What asking for another login email can end in.
var (
	// ErrEmailChange says that there is no such change, or that it was used,
	// replaced or cancelled, has expired, or is for an account as it was before.
	ErrEmailChange = errors.New("the change of the email does not work any more")
	// ErrSameEmail says that the account has the address already.
	ErrSameEmail = errors.New("the account has this address already")
	// ErrTooMany says that enough changes were asked for in 24 hours.
	ErrTooMany = errors.New("enough for one day")
)

// RequestEmailChange mails the link that makes an address the account's login
// email. a is the account as the person's confirmed session has read it. Until
// the link is used nothing changes; a newer request replaces an older one.
//
// Who asks does not learn whether the address belongs to somebody else: that
// one gets a letter too, without a link, which says that nothing changed. It
// returns ErrEmail, ErrSameEmail, ErrTooMany, *Throttled, or ErrVersion when
// the account has changed since it was read.
func (s *Service) RequestEmailChange(ctx context.Context, r *realm.Realm, a Account, newEmail string, by By) error {
	email, err := NormalizeEmail(newEmail)
	if err != nil {
		return err
	}
	if email == a.LoginEmail {
		return ErrSameEmail
	}
	if err := s.countEmailRequest(ctx, r, email, by); err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		now, err := s.Lock(ctx, r.Name, a.ID)
		if err != nil {
			return err
		}
		if !Unchanged(now, a) {
			return ErrVersion
		}
		return s.requestOwn(ctx, r, now, email, by)
	})
	if err != nil {
		return fmt.Errorf("request change of the email: %w", err)
	}
	return nil
}

// countEmailRequest bounds the letters that one network causes, and those that
// one address gets from all accounts together.
func (s *Service) countEmailRequest(ctx context.Context, r *realm.Realm, email string, by By) error {
	addr, _ := netip.ParseAddr(by.IP)
	for _, c := range []struct {
		key    string
		limit  int
		window time.Duration
	}{
		{"email-change/" + r.Name + "/" + web.NetworkOf(addr), r.Recovery.RequestsPerNetworkPerHour, time.Hour},
		{"email-change-to/" + r.Name + "/" + emailKey(email), r.Recovery.EmailChangesPerDay, 24 * time.Hour},
	} {
		ok, wait, err := s.throttle.limits.Allow(ctx, c.key, c.limit, c.window)
		if err != nil {
			return fmt.Errorf("count change of the email: %w", err)
		}
		if !ok {
			return &Throttled{wait}
		}
	}
	return nil
}

func (s *Service) requestOwn(ctx context.Context, r *realm.Realm, a Account, email string, by By) error {
	e, token, err := s.newEmailChange(ctx, r, a, EmailChange{Origin: OwnWish, NewEmail: email, clientID: by.ClientID})
	if err != nil {
		return err
	}
	// Either way a row is made and a letter queued: it takes the same time.
	owner, err := s.taken(ctx, r, email)
	if err != nil {
		return err
	}
	letter := mail.Letter{Realm: r, Kind: mail.VerifyEmail, To: email, Locale: s.localeOf(r, a), AccountID: a.ID,
		TicketID: e.ID, NotAfter: e.ExpiresAt, Data: map[string]string{
			"link": r.URL("/email/" + token.Reveal()), "until": e.ExpiresAt.Format(time.RFC3339)}}
	if owner != nil {
		letter.Kind, letter.Locale, letter.AccountID, letter.Data = mail.EmailInUse, s.localeOf(r, *owner), owner.ID, nil
	}
	if _, err := s.outbox.Queue(ctx, letter); err != nil {
		return fmt.Errorf("queue letter: %w", err)
	}
	return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_requested", Severity: audit.Warning,
		Actor: a.Actor(), Target: a.Actor(), ClientID: by.ClientID, IP: by.IP,
		Details: by.Details(map[string]any{"change": e.ID.String(), "to": email, "taken": owner != nil})})
}

// newEmailChange stores a change and voids older ones of the same side. The
// caller has locked the account.
func (s *Service) newEmailChange(ctx context.Context, r *realm.Realm, a Account, e EmailChange) (EmailChange, secret.Token, error) {
	now := s.db.Now(ctx)
	n, err := s.emailChangesSince(ctx, a.ID, e.Origin, now.Add(-24*time.Hour))
	if err != nil {
		return EmailChange{}, secret.Token{}, err
	}
	if n >= r.Recovery.EmailChangesPerDay {
		return EmailChange{}, secret.Token{}, ErrTooMany
	}
	if err := s.voidEmailChanges(ctx, a.ID, e.Origin, "replaced"); err != nil {
		return EmailChange{}, secret.Token{}, fmt.Errorf("void earlier changes: %w", err)
	}
	token := secret.NewToken()
	e.ID, e.AccountID, e.State, e.OldEmail = database.NewID(), a.ID, awaiting, a.LoginEmail
	e.credentialVersion, e.CreatedAt, e.ExpiresAt = a.CredentialVersion, now, now.Add(r.Lifetimes.EmailLink)
	return e, token, s.insertEmailChange(ctx, r, e, token)
}

// RequestEmailChangeByStaff asks the person of an account to allow another
// login email: for a guardian whom another practice knows too, so that no
// practice decides alone. The letter goes to the login email of today; until
// its link is used nothing changes, and then the new address counts as not
// verified, as with ChangeEmail. It joins the caller's transaction, in which
// the caller has decided that by may.
//
// It returns ErrEmail, ErrSameEmail, ErrEmailTaken, ErrVersion, ErrState for a
// closed account, ErrTooMany, or ErrFrozen: whose mailbox it is, is just what
// nobody knows then.
func (s *Service) RequestEmailChangeByStaff(ctx context.Context, r *realm.Realm, accountID uuid.UUID, version int64, newEmail string, by By) (EmailChange, error) {
	email, err := NormalizeEmail(newEmail)
	if err != nil {
		return EmailChange{}, err
	}
	var e EmailChange
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		owner, err := s.taken(ctx, r, email)
		switch {
		case err != nil:
			return err
		case a.Version != version:
			return ErrVersion
		case a.FrozenAt != nil:
			return ErrFrozen
		case a.State == Disabled:
			return ErrState
		case a.LoginEmail == email:
			return ErrSameEmail
		case owner != nil:
			return ErrEmailTaken
		}
		e, err = s.requestByStaff(ctx, r, a, email, by)
		return err
	})
	if err != nil {
		return EmailChange{}, fmt.Errorf("request change of the email by staff: %w", err)
	}
	return e, nil
}

func (s *Service) requestByStaff(ctx context.Context, r *realm.Realm, a Account, email string, by By) (EmailChange, error) {
	e, token, err := s.newEmailChange(ctx, r, a, EmailChange{Origin: StaffsWish, NewEmail: email, RequestedBy: idIn(by.Actor),
		PracticeID: idIn(by.PracticeID), Practice: by.Practice, Phone: by.Phone, clientID: by.ClientID, reason: by.Reason})
	if err != nil {
		return EmailChange{}, err
	}
	freeze, err := s.newFreezeLink(ctx, r, a, string(mail.EmailChangeAsked), e.CreatedAt)
	if err != nil {
		return EmailChange{}, err
	}
	name := by.Practice
	if name == "" {
		name = r.Brand.Name
	}
	if _, err := s.outbox.Queue(ctx, mail.Letter{Realm: r, Kind: mail.EmailChangeAsked, To: a.LoginEmail, Locale: s.localeOf(r, a),
		AccountID: a.ID, TicketID: e.ID, NotAfter: e.ExpiresAt, Data: map[string]string{
			"link": r.URL("/email/" + token.Reveal()), "until": e.ExpiresAt.Format(time.RFC3339), "practice": name,
			"practice_phone": by.Phone, "new_masked": MaskEmail(email), "freeze": r.URL("/freeze/" + freeze.Reveal())}}); err != nil {
		return EmailChange{}, fmt.Errorf("queue letter: %w", err)
	}
	return e, s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_requested", Severity: audit.Warning,
		Actor: by.Actor, Target: a.Actor(), PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP,
		Details: by.Details(map[string]any{"change": e.ID.String(), "to": email, "reason": by.Reason})})
}

// PendingEmailChange is the change that staff have asked for and that the
// person has not allowed yet, or ErrEmailChange.
func (s *Service) PendingEmailChange(ctx context.Context, r *realm.Realm, accountID uuid.UUID) (EmailChange, error) {
	return s.emailChangeOf(ctx, r, accountID, StaffsWish)
}

// CancelEmailChange ends a change that staff, or the person, have asked for and
// that waits. It joins the caller's transaction. The caller has decided that by
// may. ErrEmailChange when nothing waits.
func (s *Service) CancelEmailChange(ctx context.Context, r *realm.Realm, accountID uuid.UUID, origin Origin, by By) error {
	err := s.db.InTx(ctx, func(ctx context.Context) error {
		a, err := s.Lock(ctx, r.Name, accountID)
		if err != nil {
			return err
		}
		e, err := s.emailChangeOf(ctx, r, a.ID, origin)
		if err != nil {
			return err
		}
		if err := s.voidEmailChanges(ctx, a.ID, origin, "cancelled"); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_cancelled", Actor: by.Actor, Target: a.Actor(),
			PracticeID: by.PracticeID, ClientID: by.ClientID, IP: by.IP, Details: by.Details(map[string]any{"change": e.ID.String()})})
	})
	if err != nil {
		return fmt.Errorf("cancel change of the email: %w", err)
	}
	return nil
}

// useEmailChange is the yes of a browser that has come from a link: at the new
// address the person confirms it, at the present one allows what staff asked
// for. It returns ErrEmailChange, or ErrEmailTaken when somebody else has the
// address.
func (s *Service) useEmailChange(ctx context.Context, r *realm.Realm, flow secret.Token, by By) (EmailChange, error) {
	var e EmailChange
	err := s.db.InTx(ctx, func(ctx context.Context) (err error) {
		a, err := s.lockEmailChange(ctx, r, flow, &e)
		if err != nil {
			return err
		}
		if err := s.spendEmailChange(ctx, e.ID); err != nil {
			return err
		}
		to, who := newAddress{email: e.NewEmail, verified: true}, By{Actor: a.Actor(), IP: by.IP, Device: by.Device, ClientID: e.clientID}
		if e.Origin == StaffsWish {
			if err := s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_allowed", Actor: a.Actor(), Target: a.Actor(),
				IP: by.IP, Details: by.Details(map[string]any{"change": e.ID.String()})}); err != nil {
				return err
			}
			to.verified, who = false, e.staff()
			who.Device = by.Device
		}
		_, err = s.replaceEmail(ctx, r, a, to, who)
		return err
	})
	if errors.Is(err, ErrEmailTaken) {
		// The transaction is undone, and the link works again should the
		// address become free.
		err = errors.Join(err, s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_failed", Outcome: audit.Failure,
			Actor: Actor(e.AccountID), Target: Actor(e.AccountID), IP: by.IP,
			Details: by.Details(map[string]any{"change": e.ID.String(), "why": "email_taken"})}))
	}
	if err != nil {
		return e, fmt.Errorf("use change of the email: %w", err)
	}
	return e, nil
}

// staff is who asked, as far as the row tells.
func (e EmailChange) staff() By {
	by := By{Actor: "system", Practice: e.Practice, Phone: e.Phone, ClientID: e.clientID, Reason: e.reason}
	if e.RequestedBy != nil {
		by.Actor = Actor(*e.RequestedBy)
	}
	if e.PracticeID != nil {
		by.PracticeID = e.PracticeID.String()
	}
	return by
}

// lockEmailChange locks the account of a change and then reads the change again:
// before, it was only looked up.
func (s *Service) lockEmailChange(ctx context.Context, r *realm.Realm, flow secret.Token, e *EmailChange) (Account, error) {
	found, err := s.emailChangeByFlow(ctx, r, flow)
	if err != nil {
		return Account{}, err
	}
	a, err := s.Lock(ctx, r.Name, found.AccountID)
	if err != nil {
		return Account{}, err
	}
	*e, err = s.emailChangeByFlow(ctx, r, flow)
	return a, err
}

// refuseEmailChange is the answer "that was not me" to what staff asked for. It
// ends the change and returns the flow of the page that freezes the account: of
// a notice as old as the letter that asked. Only whoever reads the account's own
// mail gets one: a link that went to a new address, which may be a stranger's,
// has none to give.
func (s *Service) refuseEmailChange(ctx context.Context, r *realm.Realm, flow secret.Token, by By) (freeze secret.Token, err error) {
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		var e EmailChange
		a, err := s.lockEmailChange(ctx, r, flow, &e)
		if err != nil {
			return err
		}
		if e.Origin != StaffsWish {
			return ErrEmailChange
		}
		if err := s.voidEmailChanges(ctx, a.ID, StaffsWish, "refused"); err != nil {
			return err
		}
		link, err := s.newFreezeLink(ctx, r, a, "email_change_refused", e.CreatedAt)
		if err != nil {
			return err
		}
		if freeze, err = s.newFreezeFlow(ctx, r, link); err != nil {
			return err
		}
		return s.audit.Record(ctx, audit.Event{Realm: r.Name, Kind: "email.change_refused", Severity: audit.High,
			Actor: a.Actor(), Target: a.Actor(), PracticeID: e.staff().PracticeID, IP: by.IP,
			Details: by.Details(map[string]any{"change": e.ID.String(), "requested_by": e.staff().Actor})})
	})
	if err != nil {
		return secret.Token{}, fmt.Errorf("refuse change of the email: %w", err)
	}
	return freeze, nil
}
