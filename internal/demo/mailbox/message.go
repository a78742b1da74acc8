package mailbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // mails in other character sets than UTF-8
	gomail "github.com/emersion/go-message/mail"
)

// Message is one mail as the pages and GET /api/messages show it.
type Message struct {
	ID      string    `json:"id"`
	To      string    `json:"to"`   // bare addresses from the envelope, separated by ", "
	From    string    `json:"from"` // bare address
	Subject string    `json:"subject"`
	Date    time.Time `json:"date"` // as the mail says; when it arrived, if it does not
	Text    string    `json:"text"`
	HTML    string    `json:"html"`
	// Headers by name as sent; values of a repeated header are joined by a
	// line break.
	Headers map[string]string `json:"headers"`

	fields []field
}

// field is one header field in the order of the mail.
type field struct{ Name, Value string }

// envelope is what SMTP said about a mail.
type envelope struct {
	From     string    `json:"from"`
	To       []string  `json:"to"`
	Received time.Time `json:"received"`
}

// parse reads a mail. One that cannot be understood is still a message: its
// source becomes the text, so nothing that arrived is hidden.
func parse(id string, e envelope, raw []byte) Message {
	m := Message{ID: id, To: strings.Join(e.To, ", "), From: e.From, Date: e.Received.UTC(), Headers: map[string]string{}}
	reader, err := gomail.CreateReader(bytes.NewReader(raw))
	if err != nil && (reader == nil || !message.IsUnknownCharset(err)) {
		m.Subject, m.Text = "(not a readable mail)", string(bytes.ToValidUTF8(raw, []byte("\uFFFD")))
		return m
	}
	m.readHeader(reader.Header)
	if err := m.readParts(reader); err != nil {
		m.Text += "\n\n(" + err.Error() + ")"
	}
	return m
}

func (m *Message) readHeader(h gomail.Header) {
	for fields := h.Fields(); fields.Next(); {
		name := fields.Key()
		if raw, err := fields.Raw(); err == nil {
			if spelled, _, ok := strings.Cut(string(raw), ":"); ok {
				name = spelled // Message-ID, not Message-Id
			}
		}
		value, err := fields.Text()
		if err != nil {
			value = fields.Value()
		}
		value = strings.ToValidUTF8(value, "\uFFFD")
		m.fields = append(m.fields, field{name, value})
		if earlier, ok := m.Headers[name]; ok {
			value = earlier + "\n" + value
		}
		m.Headers[name] = value
	}
	m.Subject, _ = h.Subject()
	if m.Subject == "" {
		m.Subject = "(no subject)"
	}
	if date, err := h.Date(); err == nil && !date.IsZero() {
		m.Date = date.UTC()
	}
	if from, err := h.AddressList("From"); err == nil && len(from) > 0 {
		m.From = from[0].Address
	} else if address, err := mail.ParseAddress(h.Get("From")); err == nil {
		m.From = address.Address
	}
}

func (m *Message) readParts(reader *gomail.Reader) error {
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && (part == nil || !message.IsUnknownCharset(err)) {
			return fmt.Errorf("part of the mail is not readable: %w", err)
		}
		body, err := io.ReadAll(part.Body)
		if err != nil {
			return fmt.Errorf("part of the mail is not readable: %w", err)
		}
		text := strings.ReplaceAll(strings.ToValidUTF8(string(body), "\uFFFD"), "\r\n", "\n")
		inline, ok := part.Header.(*gomail.InlineHeader)
		if !ok {
			attachment, _ := part.Header.(*gomail.AttachmentHeader)
			name, _ := attachment.Filename()
			m.Text += fmt.Sprintf("\n(attachment %q, %d bytes)\n", name, len(body))
			continue
		}
		switch kind, _, _ := inline.ContentType(); kind {
		case "text/html":
			m.HTML += text
		case "text/plain", "":
			m.Text += text
		}
	}
}

// segment is a piece of text; with a URL it is a link.
type segment struct{ Text, URL string }

// links cuts text into plain pieces and the web addresses in it.
func links(text string) []segment {
	var out []segment
	for text != "" {
		start := nextURL(text)
		if start < 0 {
			return append(out, segment{Text: text})
		}
		if start > 0 {
			out = append(out, segment{Text: text[:start]})
		}
		end := strings.IndexAny(text[start:], " \t\r\n<>\"'")
		if end < 0 {
			end = len(text) - start
		}
		url := strings.TrimRight(text[start:start+end], ".,;:!?)]")
		out = append(out, segment{Text: url, URL: url})
		text = text[start+len(url):]
	}
	return out
}

func nextURL(text string) int {
	plain, secure := strings.Index(text, "http://"), strings.Index(text, "https://")
	if plain < 0 || secure >= 0 && secure < plain {
		return secure
	}
	return plain
}
