package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/portico-id/portico/internal/database"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// State of a letter.
type State string

// The states. All but Queued are final.
const (
	Queued    State = "queued"
	Sent      State = "sent"
	Failed    State = "failed"
	Expired   State = "expired"
	Cancelled State = "cancelled"
)

// Sender hands a message to a mail server. It returns nil only when the server
// has taken it, and ErrRefused when it never will.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Finished tells how a letter ended.
type Finished struct {
	LetterID            uuid.UUID
	Realm               string
	Kind                Kind
	AccountID, TicketID uuid.UUID // uuid.Nil when the letter has none
	State               State     // Sent, Failed or Expired
	Attempts            int64
	Error               string // what the server said, without links
}

// Options of New. Realms finds a configured realm by its name. OnFinished is
// called in the transaction that records a letter's end; it may be nil, as may
// Metrics.
type Options struct {
	DB         *database.DB
	Sealer     *secret.Sealer
	Realms     func(name string) (*realm.Realm, bool)
	Renderer   *Renderer
	Sender     Sender
	From       string // address that letters come from; their name is the realm's
	ReplyTo    string // where replies go in realms without a support address
	OnFinished func(ctx context.Context, f Finished) error
	Logger     *slog.Logger
	Metrics    prometheus.Registerer
	Parallel   int // letters sent at the same time; 0: 4
}

// Outbox keeps letters until they are delivered. It is safe for concurrent use.
type Outbox struct {
	Options
	domain  string
	wake    chan struct{}
	metrics metrics
	renewal time.Duration // renewEvery, shorter in tests
}

// New makes an outbox. From has to be an address.
func New(o Options) (*Outbox, error) {
	from, err := mail.ParseAddress(o.From)
	if err != nil {
		return nil, fmt.Errorf("mail: the sender %q is not an address: %w", o.From, err)
	}
	o.From = from.Address
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	return &Outbox{
		Options: o,
		domain:  o.From[strings.LastIndex(o.From, "@")+1:],
		wake:    make(chan struct{}, 1),
		renewal: renewEvery,
		metrics: newMetrics(o.Metrics),
	}, nil
}

// sealPurpose keeps letters apart from whatever else is sealed.
const sealPurpose = "mail"

func aad(realmName string, id uuid.UUID) string { return realmName + "/" + id.String() }

// Queue writes a letter in the caller's transaction: it is sent if and only if
// that commits. It returns ErrLetter for a letter that lacks something.
func (o *Outbox) Queue(ctx context.Context, l Letter) (uuid.UUID, error) {
	now := o.DB.Now(ctx)
	if err := l.prepare(now); err != nil {
		return uuid.Nil, err
	}
	plain, err := json.Marshal(l.Data)
	if err != nil {
		return uuid.Nil, fmt.Errorf("encode letter: %w", err)
	}
	id := database.NewID()
	err = o.insert(ctx, letterRow{
		id: id, realm: l.Realm.Name, kind: l.Kind, recipient: l.To, locale: l.Locale,
		sealed:    o.Sealer.Seal(sealPurpose, aad(l.Realm.Name, id), plain),
		accountID: pointer(l.AccountID), ticketID: pointer(l.TicketID),
		messageID: id.String() + "@" + o.domain,
		notAfter:  l.NotAfter,
	}, now)
	if err != nil {
		return uuid.Nil, fmt.Errorf("queue %s letter: %w", l.Kind, err)
	}
	o.Wake() // too early for the commit, but the worker looks again shortly
	return id, nil
}

// Wake makes the worker look at once. Queue does so too; call it after the
// commit of a transaction that may have taken longer than half a second.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// CancelTicket calls off the letters of a ticket that were not sent yet. It
// joins the caller's transaction.
func (o *Outbox) CancelTicket(ctx context.Context, ticketID uuid.UUID) error {
	n, err := o.cancel(ctx, ticketID)
	if err != nil {
		return fmt.Errorf("cancel letters of ticket: %w", err)
	}
	o.metrics.ended.WithLabelValues("", string(Cancelled)).Add(float64(n))
	return nil
}

// Delivery is what staff may know about a letter.
type Delivery struct {
	LetterID   uuid.UUID
	State      State
	Attempts   int64
	CreatedAt  time.Time
	SentAt     *time.Time // set when State is Sent
	FinishedAt *time.Time
	LastError  string // what the server said, without links
}

// ErrNotFound says that there is no such letter.
var ErrNotFound = errors.New("no such letter")

// OfTicket returns the newest letter of a ticket, or ErrNotFound.
func (o *Outbox) OfTicket(ctx context.Context, ticketID uuid.UUID) (Delivery, error) {
	d, err := o.ofTicket(ctx, ticketID)
	if errors.Is(err, database.ErrNoRows) {
		return Delivery{}, ErrNotFound
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("find letter of ticket: %w", err)
	}
	return d, nil
}

func pointer(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

func value(id *uuid.UUID) uuid.UUID {
	if id == nil {
		return uuid.Nil
	}
	return *id
}
