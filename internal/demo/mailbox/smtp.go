package mailbox

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// newSMTP returns the receiving side: any sender, any recipient, no relaying
// because nothing leaves the mailbox.
func newSMTP(s *store, host string, logger *slog.Logger) *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &delivery{store: s, log: logger}, nil
	}))
	server.Domain = host
	server.MaxMessageBytes = 4 << 20
	server.MaxRecipients = 50
	server.ReadTimeout = time.Minute
	server.WriteTimeout = time.Minute
	server.EnableSMTPUTF8 = true
	server.ErrorLog = log.New(quiet{logger}, "", 0)
	return server
}

// ServeSMTP takes mail on l until Shutdown.
func (m *Mailbox) ServeSMTP(l net.Listener) error {
	if err := m.smtp.Serve(l); err != nil {
		return fmt.Errorf("take mail: %w", err)
	}
	return nil
}

// Shutdown stops taking mail, once the mails on their way have been kept.
func (m *Mailbox) Shutdown(ctx context.Context) error { return m.smtp.Shutdown(ctx) }

// quiet hands go-smtp's own lines (clients that hang up) to the debug log.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(line []byte) (int, error) {
	q.log.Debug("smtp", "line", string(line))
	return len(line), nil
}

// delivery is one mail transaction.
type delivery struct {
	store *store
	log   *slog.Logger
	from  string
	to    []string
}

func (d *delivery) Reset()        { d.from, d.to = "", nil }
func (d *delivery) Logout() error { return nil }

func (d *delivery) Mail(from string, _ *smtp.MailOptions) error {
	d.from = from
	return nil
}

func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	d.to = append(d.to, to)
	return nil
}

// Data answers 250 only for a mail that is kept; a disk that fails is a
// temporary refusal, so the sender tries again.
func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := d.store.add(envelope{From: d.from, To: d.to, Received: time.Now().UTC()}, raw); err != nil {
		d.log.Error("mailbox could not keep a mail", "error", err)
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "The mail could not be kept, try again later"}
	}
	return nil
}
