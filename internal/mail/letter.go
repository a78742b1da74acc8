package mail

import (
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/realm"
)

// Kind names what a letter is about; its templates have the same name.
type Kind string

// The kinds, with the values of Letter.Data that they need. Times are RFC 3339;
// links are absolute, and freeze is the link for "this wasn't me". what is
// totp_added, totp_removed, passkey_added, passkey_removed, code_used,
// codes_renewed or factors_reset.
const (
	Reset           Kind = "reset"             // link, until
	ResetStaff      Kind = "reset_staff"       // link, until, practice; practice_phone may be absent
	Invite          Kind = "invite"            // link, until, inviter
	VerifyEmail     Kind = "verify_email"      // link, until
	PasswordChanged Kind = "password_changed"  // when, device, freeze
	EmailChanged    Kind = "email_changed"     // new_masked, freeze; when, practice and practice_phone may be absent: to the old address
	EmailChangedNew Kind = "email_changed_new" // practice may be absent: to the new address
	QuestionChanged Kind = "question_changed"  // when, device, freeze
	FactorChanged   Kind = "factor_changed"    // when, device, freeze, what; practice may be absent

	EmailChangeAsked   Kind = "email_change_asked"   // link, until, practice, new_masked, freeze: to the address of today; practice_phone may be absent
	AccessAdded        Kind = "access_added"         // practice: to the owner of an account that staff have tied to something; practice_phone may be absent
	EmailInUse         Kind = "email_in_use"         // to the owner of an address that somebody else wanted to use
	AccountFrozen      Kind = "account_frozen"       // when, masked: to the practice
	FrozenNotice       Kind = "frozen_notice"        // when: to the person
	AccountUnfrozen    Kind = "account_unfrozen"     // when, freeze; practice may be absent; password and factors when they are gone, question when there is none
	AccountUnfrozenOld Kind = "account_unfrozen_old" // when: to an address of before; practice may be absent
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{Reset, ResetStaff, Invite, VerifyEmail, PasswordChanged, EmailChanged, EmailChangedNew, QuestionChanged,
		FactorChanged, EmailChangeAsked, AccessAdded, EmailInUse, AccountFrozen, FrozenNotice, AccountUnfrozen, AccountUnfrozenOld}
}

// needs are the values a kind cannot do without, mayHave those it can use.
var needs = map[Kind][]string{
	Reset:           {"link", "until"},
	ResetStaff:      {"link", "until", "practice"},
	Invite:          {"link", "until", "inviter"},
	VerifyEmail:     {"link", "until"},
	PasswordChanged: {"when", "device", "freeze"},
	EmailChanged:    {"new_masked", "freeze"},
	EmailChangedNew: {},
	QuestionChanged: {"when", "device", "freeze"},
	FactorChanged:   {"when", "device", "freeze", "what"},

	EmailChangeAsked:   {"link", "until", "practice", "new_masked", "freeze"},
	AccessAdded:        {"practice"},
	EmailInUse:         {},
	AccountFrozen:      {"when", "masked"},
	FrozenNotice:       {"when"},
	AccountUnfrozen:    {"when", "freeze"},
	AccountUnfrozenOld: {"when"},
}

var mayHave = map[Kind][]string{
	ResetStaff:      {"practice_phone"},
	EmailChanged:    {"when", "practice", "practice_phone"},
	EmailChangedNew: {"practice"},
	FactorChanged:   {"practice"},

	EmailChangeAsked:   {"practice_phone"},
	AccessAdded:        {"practice_phone"},
	AccountUnfrozen:    {"practice", "password", "factors", "question"},
	AccountUnfrozenOld: {"practice"},
}

// Letter is a letter to be sent. AccountID and TicketID may be uuid.Nil.
// Locale is the recipient's language; empty means the realm's. After NotAfter
// it is not sent any more; when it is zero, or later than the link lives,
// Data["until"] decides, and for notices a week.
type Letter struct {
	Realm               *realm.Realm
	Kind                Kind
	To, Locale          string
	AccountID, TicketID uuid.UUID
	NotAfter            time.Time
	Data                map[string]string
}

// ErrLetter says that a letter cannot be queued as it is: a mistake of the
// caller, not of the recipient.
var ErrLetter = errors.New("letter")

// noticesLive is how long a notice without a link is worth delivering.
const noticesLive = 7 * 24 * time.Hour

// prepare checks a letter, drops the values its kind has no place for and sets
// NotAfter.
func (l *Letter) prepare(now time.Time) error {
	required, ok := needs[l.Kind]
	if !ok {
		return fmt.Errorf("%w: unknown kind %q", ErrLetter, l.Kind)
	}
	if l.Realm == nil {
		return fmt.Errorf("%w %s: no realm", ErrLetter, l.Kind)
	}
	if _, err := mail.ParseAddress(l.To); err != nil {
		return fmt.Errorf("%w %s: the recipient is not an address", ErrLetter, l.Kind)
	}
	data := make(map[string]string, len(required))
	for _, name := range required {
		if l.Data[name] == "" && name != "device" {
			return fmt.Errorf("%w %s: %s is missing", ErrLetter, l.Kind, name)
		}
		data[name] = l.Data[name]
	}
	for _, name := range mayHave[l.Kind] {
		if v := l.Data[name]; v != "" {
			data[name] = v
		}
	}
	for _, name := range []string{"until", "when"} {
		if data[name] == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, data[name])
		if err != nil {
			return fmt.Errorf("%w %s: %s is not RFC 3339", ErrLetter, l.Kind, name)
		}
		if name == "until" && (l.NotAfter.IsZero() || l.NotAfter.After(at)) {
			l.NotAfter = at
		}
	}
	l.Data = data
	if l.NotAfter.IsZero() {
		l.NotAfter = now.Add(noticesLive)
	}
	return nil
}
