package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	gomail "github.com/wneessen/go-mail"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// How the connection to the mail server is encrypted.
const (
	STARTTLS = "starttls" // from the first command on; refused when the server does not offer it
	Implicit = "implicit" // from the first byte on
	NoTLS    = "none"     // to this machine only
)

// smtpFor bounds each phase of a delivery: connecting, greeting, sending.
const smtpFor = 60 * time.Second

// ErrRefused says that a letter will never be taken: the server answered with
// 5xx, or it cannot be sent at all.
var ErrRefused = errors.New("refused for good")

// Message is a rendered letter with its addresses. ID is the Message-ID
// without brackets; the same letter has the same one in every attempt.
type Message struct {
	ID, FromName, From, To, ReplyTo string
	Content                         Content
}

// SMTPOptions say which server takes the letters. Without a user nothing
// authenticates. Port 0 is 587, or 465 with Implicit. RootCAs nil means the
// system's.
type SMTPOptions struct {
	Host     string
	Port     int
	User     string
	Password secret.Text
	TLS      string
	RootCAs  *x509.CertPool
}

// SMTP sends messages to one mail server.
type SMTP struct {
	o       SMTPOptions
	timeout time.Duration
}

// NewSMTP checks the options. Without TLS it accepts loopback hosts only: a
// reset link must not cross a network in the clear.
func NewSMTP(o SMTPOptions) (*SMTP, error) {
	switch {
	case o.Host == "":
		return nil, errors.New("mail: the SMTP server has no host")
	case o.TLS != STARTTLS && o.TLS != Implicit && o.TLS != NoTLS:
		return nil, fmt.Errorf("mail: tls is %q; it can be %s, %s or %s", o.TLS, STARTTLS, Implicit, NoTLS)
	case o.TLS == NoTLS && !realm.Loopback(o.Host):
		return nil, fmt.Errorf("mail: tls: %s is only for a server on this machine, %s is not", NoTLS, o.Host)
	}
	if o.Port == 0 {
		o.Port = 587
		if o.TLS == Implicit {
			o.Port = 465
		}
	}
	return &SMTP{o: o, timeout: smtpFor}, nil
}

// Send hands a message to the server. When ctx ends, the connection is closed.
func (s *SMTP) Send(ctx context.Context, m Message) error {
	msg, err := s.message(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	var conn net.Conn
	client, err := gomail.NewClient(s.o.Host, s.options(ctx, &conn)...)
	if err != nil {
		return fmt.Errorf("prepare SMTP: %w", err)
	}
	defer func() {
		if conn != nil {
			conn.Close() // the library leaves it open when the greeting fails
		}
	}()
	err = client.DialAndSendWithContext(ctx, msg)
	if msg.IsDelivered() {
		return nil // what failed was the good-bye
	}
	if err == nil {
		return errors.New("the mail server did not confirm the letter")
	}
	if permanent(err) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// permanent recognises a 5xx answer about this letter. A refusal of ourselves
// (530 and 535: authenticate, 538: encrypt) is for the operator to mend; the
// letter waits.
func permanent(err error) bool {
	var refused *gomail.SendError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Reason {
	case gomail.ErrSMTPMailFrom, gomail.ErrSMTPRcptTo, gomail.ErrSMTPData, gomail.ErrSMTPDataClose:
	default:
		return false
	}
	code := refused.ErrorCode()
	return code >= 500 && code < 600 && code != 530 && code != 535 && code != 538
}

func (s *SMTP) options(ctx context.Context, conn *net.Conn) []gomail.Option {
	conf := &tls.Config{ServerName: s.o.Host, RootCAs: s.o.RootCAs, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{
		gomail.WithPort(s.o.Port), gomail.WithTimeout(s.timeout), gomail.WithTLSConfig(conf),
		gomail.WithDialContextFunc(func(dialing context.Context, network, address string) (net.Conn, error) {
			c, err := s.dial(dialing, network, address, conf)
			if err != nil {
				return nil, err
			}
			*conn = c
			context.AfterFunc(ctx, func() { c.Close() })
			return c, nil
		}),
	}
	switch s.o.TLS {
	case STARTTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	case Implicit:
		options = append(options, gomail.WithSSL())
	case NoTLS:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if s.o.User != "" {
		options = append(options, gomail.WithUsername(s.o.User), gomail.WithPassword(s.o.Password.Reveal()),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1,
				gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	return options
}

func (s *SMTP) dial(ctx context.Context, network, address string, conf *tls.Config) (net.Conn, error) {
	var plain net.Dialer
	if s.o.TLS == Implicit {
		return (&tls.Dialer{NetDialer: &plain, Config: conf}).DialContext(ctx, network, address)
	}
	return plain.DialContext(ctx, network, address)
}

// message writes the headers. RFC 3834 §5: Auto-Submitted keeps
// auto-responders silent; X-Auto-Response-Suppress says the same to Exchange.
func (s *SMTP) message(m Message) (*gomail.Msg, error) {
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := msg.FromFormat(m.FromName, m.From); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := msg.To(m.To); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	if m.ReplyTo != "" {
		if err := msg.ReplyTo(m.ReplyTo); err != nil {
			return nil, fmt.Errorf("reply-to: %w", err)
		}
	}
	msg.Subject(m.Content.Subject)
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("X-Auto-Response-Suppress", "OOF, AutoReply")
	msg.SetGenHeader(gomail.HeaderContentLang, m.Content.Lang)
	msg.SetBodyString(gomail.TypeTextPlain, m.Content.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.Content.HTML)
	return msg, nil
}

// Address is host and port, for messages to operators.
func (s *SMTP) Address() string { return net.JoinHostPort(s.o.Host, strconv.Itoa(s.o.Port)) }
