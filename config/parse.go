package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones of realms, also where the system has none

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/portico-id/portico/internal/password"
	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// Load reads a file and checks that the files it names can be read. env looks
// environment variables up, as os.LookupEnv does. The error is Problems, unless
// the file itself cannot be read.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, content, env, true)
}

// Parse is Load for a text that is no file: name stands in messages, and files
// that the text names are not looked at.
func Parse(name string, text []byte, env func(string) (string, bool)) (*Config, error) {
	return parse(name, text, env, false)
}

func parse(name string, text []byte, env func(string) (string, bool), look bool) (*Config, error) {
	r := &reader{file: name, env: env, look: look}
	root, err := r.root(text)
	if err != nil {
		return nil, err
	}
	c := &Config{File: name}
	c.read(root, look)
	root.done()
	if len(r.problems) > 0 {
		r.problems.sort()
		return nil, r.problems
	}
	r.warnings.sort()
	c.Warnings = r.warnings
	return c, nil
}

// root parses YAML. Of mistakes in the syntax only the first is known.
func (r *reader) root(text []byte) (*section, error) {
	m := mark{r: r, line: 1, column: 1}
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		what := err.Error()
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			what = syntax.Message
			if syntax.Token != nil && syntax.Token.Position != nil {
				m.line, m.column = syntax.Token.Position.Line, syntax.Token.Position.Column
			}
		}
		m.bad("this is not YAML: "+what, "look at the indentation and quotes here")
		return nil, r.problems
	}
	var body ast.Node
	for i, doc := range file.Docs {
		if i == 0 {
			body = doc.Body
		} else if doc.Body != nil {
			m.at(doc.Body, "").bad("a second document begins here", "keep everything in one, without ---")
		}
	}
	return newSection(m, body), nil
}

func (c *Config) read(s *section, look bool) {
	c.readListeners(s, look)
	c.readSecrets(s)
	c.readMail(s.sub("mail"), look)
	c.readObservability(s)
	c.readPasswords(s, look)
	c.readLimits(s.sub("limits"))
	c.Outbound = readOutbound(s.sub("outbound"))
	templates := s.text("templates_dir", "")
	if c.TemplatesDir = templates.v; look && templates.set {
		if info, err := os.Stat(templates.v); err != nil || !info.IsDir() {
			templates.bad("this is not a folder that can be read", "name a folder, or remove the key")
		}
	}
	admin := s.sub("admin_api")
	c.readAdminAPI(admin)
	c.readRealms(s, admin)
}

func (c *Config) readListeners(s *section, look bool) {
	db := s.sub("database")
	dbURL := db.need("url", "write sqlite:/var/lib/portico/portico.db, or env:DATABASE_URL with a postgres:// URL")
	if dbURL.set {
		checkDatabaseURL(dbURL, db.entries["url"])
	}
	c.Database = Database{URL: secret.Text(dbURL.v), MaxConns: db.number("max_conns", 0, 0, 10000)}
	db.done()

	listen, private := s.text("listen", "localhost:9000"), s.text("private_listen", "localhost:9090")
	checkListen(listen)
	checkListen(private)
	if listen.v == private.v {
		private.bad("both listeners have one address", "give private_listen a port of its own")
	}
	c.Listen, c.PrivateListen = listen.v, private.v

	tls := s.sub("tls")
	cert, key := tls.text("cert", ""), tls.text("key", "")
	tls.done()
	if (cert.v == "") != (key.v == "") {
		tls.bad("a certificate and its key belong together", "set both cert and key, or neither")
	}
	c.TLS = TLS{cert.v, key.v}
	if look {
		readable(cert)
		readable(key)
	}
	for _, f := range s.texts("trusted_proxies") {
		prefix, err := netip.ParsePrefix(f.v)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(f.v); err == nil {
				prefix = netip.PrefixFrom(addr, addr.BitLen())
			}
		}
		switch {
		case err != nil:
			f.bad(fmt.Sprintf("%q is no network", f.v), "write an address or a network such as 10.0.0.0/8")
		case prefix.Bits() == 0:
			f.bad("this trusts every address, so anybody could claim to be anybody", "name the addresses of your proxies")
		default:
			c.TrustedProxies = append(c.TrustedProxies, prefix.Masked())
		}
	}
}

// checkDatabaseURL keeps passwords out of the file: a URL that holds one comes
// from the environment.
func checkDatabaseURL(f field[string], e entry) {
	switch {
	case strings.HasPrefix(f.v, "sqlite:"):
		if strings.TrimPrefix(f.v, "sqlite:") == "" {
			f.bad("the SQLite URL names no file", "write sqlite:/var/lib/portico/portico.db")
		}
	case strings.HasPrefix(f.v, "postgres://"), strings.HasPrefix(f.v, "postgresql://"):
		u, err := url.Parse(f.v)
		if err != nil {
			f.bad("this is not a URL", "write postgres://user:password@host:5432/database, percent-encoding what is special in the password")
			return
		}
		_, inUser := u.User.Password()
		literal, isText := e.node.(*ast.StringNode)
		if (inUser || u.Query().Has("password")) && isText && !strings.HasPrefix(literal.Value, "env:") {
			f.bad("a password stands in the file", "put the URL into the environment and write env:DATABASE_URL")
		}
	default:
		f.bad("the database URL has an unknown scheme", "start it with sqlite: or postgres://")
	}
}

func checkListen(f field[string]) {
	_, port, err := net.SplitHostPort(f.v)
	if n, e := strconv.Atoi(port); err != nil || e != nil || n < 0 || n > 65535 {
		f.bad(fmt.Sprintf("%q is no address to listen on", f.v), "write host:port such as localhost:9000, or :9000 for all interfaces")
	}
}

func readable(f field[string]) {
	if !f.set {
		return
	}
	file, err := os.Open(f.v)
	if err != nil {
		f.bad("this file cannot be read: "+errors.Unwrap(err).Error(), "name a file the server's user may read")
		return
	}
	file.Close()
}

func (c *Config) readSecrets(s *section) {
	kek := s.key("key_encryption_key", "PORTICO_KEY_ENCRYPTION_KEY")
	pepper := s.key("pepper", "PORTICO_PEPPER")
	if kek.set && len(kek.v) != secret.KeyBytes {
		kek.bad(fmt.Sprintf("the key has %d bytes", len(kek.v)), "it needs exactly 32: openssl rand -base64 32")
	}
	if pepper.set && len(pepper.v) < 32 {
		pepper.bad(fmt.Sprintf("the pepper has %d bytes", len(pepper.v)), "it needs at least 32: openssl rand -base64 32")
	}
	if kek.set && pepper.set && kek.v == pepper.v {
		pepper.bad("the pepper is the key-encryption key", "make another one: one key per purpose")
	}
	c.KeyEncryptionKey, c.Pepper = secret.Text(kek.v), secret.Text(pepper.v)
}

// secret reads a text that must come from the environment.
func (s *section) secret(key string) field[string] {
	e, ok := s.take(key)
	if !ok {
		return absent(s, key, "")
	}
	if text, isText := e.node.(*ast.StringNode); !isText || !strings.HasPrefix(text.Value, "env:") {
		e.bad("a secret stands in the file", "put it into the environment and write env:NAME here")
		return field[string]{mark: e.mark}
	}
	f, _ := e.text()
	return f
}

// key reads random bytes in base64.
func (s *section) key(key, example string) field[string] {
	f := s.secret(key)
	if _, there := s.entries[key]; !there {
		f.bad("this is missing", "write env:"+example+" and set that to the output of: openssl rand -base64 32")
	}
	if !f.set {
		return f
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(f.v))
	if err != nil {
		f.bad("this is not base64", "make one with: openssl rand -base64 32")
		f.set = false
		return f
	}
	different := map[byte]bool{}
	for _, b := range raw {
		different[b] = true
	}
	if len(raw) >= 32 && len(different) < 12 {
		f.bad("this was not made at random", "make one with: openssl rand -base64 32")
	}
	f.v = string(raw)
	return f
}

func (c *Config) readMail(s *section, look bool) {
	smtp := s.sub("smtp")
	host := smtp.need("host", "name the SMTP server that takes the letters")
	mode := smtp.choice("tls", "starttls", "starttls", "implicit", "none")
	port := map[string]int{"starttls": 587, "implicit": 465, "none": 25}[mode]
	user, pass := smtp.text("username", ""), smtp.secret("password")
	ca := smtp.text("ca_file", "")
	c.Mail.SMTP = SMTP{
		Host: host.v, Port: smtp.number("port", port, 1, 65535), TLS: mode,
		Username: user.v, Password: secret.Text(pass.v), CAFile: ca.v,
	}
	smtp.done()
	if look {
		readable(ca)
	}
	if mode == "none" && host.set && !realm.Loopback(host.v) {
		host.bad("letters would cross the network unencrypted", "set tls to starttls or implicit; none is for localhost only")
	}
	if _, there := smtp.entries["password"]; (user.v != "") != there {
		smtp.bad("a user name and a password belong together", "set both username and password, or neither")
	}
	from := s.need("from", "write the sender, such as Portico <no-reply@example.test>")
	reply := s.text("reply_to", "")
	for _, f := range []field[string]{from, reply} {
		if _, err := mail.ParseAddress(f.v); f.set && err != nil {
			f.bad(fmt.Sprintf("%q is no mail address", f.v), "write name@example.test or Name <name@example.test>")
		}
	}
	c.Mail.From, c.Mail.ReplyTo = from.v, reply.v
	s.done()
}

func (c *Config) readObservability(s *section) {
	tel := s.sub("telemetry")
	c.Telemetry.Traces = tel.choice("traces", "none", "none", "stdout", "otlp")
	endpoint := tel.text("endpoint", "")
	c.Telemetry.Endpoint = endpoint.v
	if c.Telemetry.Traces == "otlp" && endpoint.v == "" {
		endpoint.bad("this is missing", "write where the collector listens, such as http://localhost:4318")
	}
	if endpoint.set {
		if u, err := url.Parse(endpoint.v); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			endpoint.bad(fmt.Sprintf("%q is no address of a collector", endpoint.v), "write a URL such as http://localhost:4318")
		}
	}
	tel.done()
	log := s.sub("log")
	c.Log.Level = log.choice("level", "info", "debug", "info", "warn", "error")
	c.Log.Format = log.choice("format", "json", "json", "text")
	log.done()
}

func (c *Config) readPasswords(s *section, look bool) {
	a, floor := s.sub("argon2"), password.Floor()
	c.Argon2 = Argon2{
		Params: password.Params{
			MemoryKiB:   uint32(a.number("memory_kib", int(floor.MemoryKiB), int(floor.MemoryKiB), 4<<20)),
			Time:        uint32(a.number("time", int(floor.Time), int(floor.Time), 100)),
			Parallelism: uint8(a.number("parallelism", int(floor.Parallelism), int(floor.Parallelism), 64)),
		},
		Concurrency: a.number("concurrency", 0, 0, 1024),
	}
	a.done()
	p := s.sub("passwords")
	for _, f := range p.texts("blocklists") {
		if look {
			readable(f)
		}
		c.Blocklists = append(c.Blocklists, f.v)
	}
	p.done()
}

func (c *Config) readLimits(s *section) {
	c.Limits = Limits{
		BodyBytes:    int64(s.number("body_kib", 64, 16, 1024)) << 10,
		HeaderBytes:  s.number("header_kib", 16, 8, 64) << 10,
		ReadTimeout:  s.duration("read_timeout", 10*time.Second, time.Second, time.Minute),
		WriteTimeout: s.duration("write_timeout", 30*time.Second, 5*time.Second, 5*time.Minute),
		IdleTimeout:  s.duration("idle_timeout", 2*time.Minute, time.Second, time.Hour),
		Drain:        s.duration("drain", 30*time.Second, 0, 5*time.Minute),
	}
	s.done()
}

func (c *Config) readAdminAPI(s *section) {
	if !s.present {
		return
	}
	base := s.need("base_url", "write scheme and host under which /admin/v1 is found, such as https://id.example.test")
	if base.set {
		u, err := realm.CheckIssuer(base.v)
		switch {
		case err != nil:
			base.bad(strings.ReplaceAll(plain(err), "issuer", "base URL"), "write scheme and host, such as https://id.example.test")
		case u.Path != "":
			base.bad("a path stands here", "leave it out: the API is always at /admin/v1")
		}
	}
	c.AdminAPI = AdminAPI{
		Realm:    s.need("realm", "name the realm whose accounts are staff").v,
		BaseURL:  base.v,
		Audience: s.text("audience", base.v+"/admin/v1").v,
	}
	s.done()
}

// plain is an error of package realm without the package's prefix.
func plain(err error) string {
	return strings.TrimPrefix(err.Error(), realm.ErrRealm.Error()+": ")
}
