package config

import (
	"encoding/json"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/portico-id/portico/internal/realm"
	"github.com/portico-id/portico/internal/secret"
)

// TestPerson is an account that is made at start in a realm for tests, because
// a conformance run needs somebody who has every claim. It is made once: what
// becomes of it afterwards stays.
type TestPerson struct {
	Realm                 string
	Email                 string
	Password              secret.Text
	GivenName, FamilyName string
	Locale                string
	Profile               json.RawMessage // the other claims of OpenID Connect Core §5.1
}

// readTestPeople reads the test people of a realm. Every one is warned about:
// somebody whose password is known to whoever runs tests.
func (c *Config) readTestPeople(s *section, r realm.Realm) {
	for _, sec := range s.subs("test_people") {
		email := sec.need("email", "write the address the person signs in with")
		password := sec.need("password", "write password: env:NAME")
		p := TestPerson{Realm: r.Name, Email: email.v, Password: secret.Text(password.v),
			GivenName: sec.text("given_name", "").v, FamilyName: sec.text("family_name", "").v,
			Locale: sec.text("locale", r.DefaultLocale).v}
		if e := sec.entries["password"]; password.set && !fromEnvironment(e) {
			e.bad("a secret stands in the file", "put it into the environment and write env:NAME")
		}
		var err error
		if p.Profile, err = json.Marshal(readPersonClaims(sec.sub("claims"))); err != nil {
			sec.bad(err.Error(), "")
		}
		sec.warn("an account for tests is made in this realm", "leave test_people out, unless the realm is for a conformance run")
		sec.done()
		c.TestPeople = append(c.TestPeople, p)
	}
}

// readPersonClaims reads the claims that are kept as a profile.
func readPersonClaims(s *section) map[string]any {
	defer s.done()
	claims := map[string]any{}
	for _, name := range []string{"middle_name", "nickname", "preferred_username", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "phone_number"} {
		if f := s.text(name, ""); f.v != "" {
			claims[name] = f.v
		}
	}
	if f := s.flag("phone_number_verified", false); f.set {
		claims["phone_number_verified"] = f.v
	}
	sub := s.sub("address")
	defer sub.done()
	address := map[string]string{}
	for _, name := range []string{"formatted", "street_address", "locality", "region", "postal_code", "country"} {
		if f := sub.text(name, ""); f.v != "" {
			address[name] = f.v
		}
	}
	if len(address) > 0 {
		claims["address"] = address
	}
	return claims
}

// fromEnvironment reports whether a value is written env:NAME.
func fromEnvironment(e entry) bool {
	text, ok := e.node.(*ast.StringNode)
	return ok && strings.HasPrefix(text.Value, "env:")
}
