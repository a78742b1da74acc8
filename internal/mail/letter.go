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
// links are absolute.
const (
	Reset           Kind = "reset"             // link, until
	ResetStaff      Kind = "reset_staff"       // link, until, practice; practice_phone may be absent
	Invite          Kind = "invite"            // link, until, inviter
	VerifyEmail     Kind = "verify_email"      // link, until
	PasswordChanged Kind = "password_changed"  // when, device
	EmailChanged    Kind = "email_changed"     // new_masked; when, practice and practice_phone may be absent: to the old address
	EmailChangedNew Kind = "email_changed_new" // practice may be absent: to the new address
	QuestionChanged Kind = "question_changed"  // when, device
)

// Kinds lists all kinds.
func Kinds() []Kind {
	return []Kind{Reset, ResetStaff, Invite, VerifyEmail, PasswordChanged, EmailChanged, EmailChangedNew, QuestionChanged}
}

// needs are the values a kind cannot do without, mayHave those it can use.
var needs = map[Kind][]string{
	Reset:           {"link", "until"},
	ResetStaff:      {"link", "until", "practice"},
	Invite:          {"link", "until", "inviter"},
	VerifyEmail:     {"link", "until"},
	PasswordChanged: {"when", "device"},
	EmailChanged:    {"new_masked"},
	EmailChangedNew: {},
	QuestionChanged: {"when", "device"},
}

var mayHave = map[Kind][]string{
	ResetStaff:      {"practice_phone"},
	EmailChanged:    {"when", "practice", "practice_phone"},
	EmailChangedNew: {"practice"},
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
