package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/portico-id/portico/internal/realm"
)

// Outbound says which addresses of clients are called although they are not on
// the internet.
type Outbound struct {
	ExemptHosts []string // host or host:port; may be private and plain http
	CAFile      string   // certificates to trust instead of the system's alone
}

func readOutbound(s *section) Outbound {
	defer s.done()
	var o Outbound
	for _, f := range s.texts("exempt_hosts") {
		if f.v == "" || strings.ContainsAny(f.v, "/@*# ") {
			f.bad(fmt.Sprintf("%q is no host", f.v), "write its name alone, with or without :port")
			continue
		}
		f.warn("this server may call "+f.v+" although it is not public, for whoever registers an address there",
			"exempt hosts for tests, or for clients in the same house, only")
		o.ExemptHosts = append(o.ExemptHosts, f.v)
	}
	o.CAFile = s.text("ca_file", "").v
	return o
}

// readKeys reads the public keys of a client, written out or at an address.
func readKeys(s *section, cl *realm.Client) {
	inline, address := s.text("jwks", ""), s.text("jwks_uri", "")
	if inline.set && address.set {
		address.bad("the keys stand in the file already", "keep jwks or jwks_uri")
	}
	if inline.set {
		var set jose.JSONWebKeySet
		err := json.Unmarshal([]byte(inline.v), &set)
		usable := err == nil && len(set.Keys) > 0
		for _, key := range set.Keys {
			usable = usable && key.Valid() && key.IsPublic()
		}
		if !usable {
			inline.bad("this is no set of public keys", `write a JSON Web Key Set in single quotes: '{"keys":[…]}'; private keys stay with the client`)
		} else {
			cl.JWKS = []byte(inline.v)
		}
	}
	if address.set {
		if !callable(address.v) {
			address.bad(fmt.Sprintf("%q is no address to fetch keys from", address.v), "write an https:// URL without user and fragment")
		} else {
			cl.JWKSURI = address.v
		}
	}
	cl.AuthAlg = s.choice("token_endpoint_auth_signing_alg", "", "RS256", "PS256", "ES256", "EdDSA")
}

// callable reports whether an address can be called at all; package outbound
// is stricter, as far as the host is not exempt.
func callable(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && !strings.Contains(raw, "#")
}

// readSubjects reads how a client knows people. Redirect URIs have been read.
func readSubjects(s *section, cl *realm.Client) {
	cl.SubjectType = s.choice("subject_type", realm.SubjectPublic, realm.SubjectPublic, realm.SubjectPairwise)
	sector := s.text("sector", "")
	cl.UserinfoAlg = s.choice("userinfo_alg", "", realm.ES256, realm.RS256)
	cl.LogoURI, cl.PolicyURI, cl.TermsURI = s.webAddress("logo_uri"), s.webAddress("policy_uri"), s.webAddress("tos_uri")
	if !cl.Pairwise() {
		if sector.set {
			sector.bad("a sector is for pairwise subjects", "add subject_type: pairwise, or remove it")
		}
		return
	}
	cl.Sector = strings.ToLower(sector.v)
	if sector.set {
		if strings.ContainsAny(sector.v, "/:@ ") || sector.v == "" {
			sector.bad(fmt.Sprintf("%q is no host", sector.v), "write the host name that the clients of one owner share")
		}
		return
	}
	for _, uri := range cl.RedirectURIs {
		u, err := url.Parse(uri)
		if err == nil && (u.Scheme != "http" && u.Scheme != "https" || realm.Loopback(u.Hostname()) && cl.Public()) {
			s.entries["subject_type"].bad("this machine, or a scheme of an app, is no host that stands for one owner", "add sector: with the host name of the app's owner")
			return
		}
		if err != nil || u.Hostname() == "" || cl.Sector != "" && cl.Sector != strings.ToLower(u.Hostname()) {
			s.entries["subject_type"].bad("the redirect URIs are not on one host", "add sector: with the host name that stands for all of them")
			return
		}
		cl.Sector = strings.ToLower(u.Hostname())
	}
	if cl.Sector == "" {
		s.entries["subject_type"].bad("there is no host to make pairwise subjects for", "add sector: with a host name")
	}
}

// readRegistration reads who may register clients over the network.
func readRegistration(s *section, d *realm.OAuthPolicy) {
	strict := s.flag("strict_client_assertions", false)
	d.StrictAssertions = strict.v
	unsigned := s.flag("unsigned_id_tokens", false)
	if d.UnsignedIDTokens = unsigned.v; unsigned.v {
		unsigned.warn("clients that register themselves may ask for ID tokens without a signature", "remove it, unless the realm is for a conformance run")
	}
	r := s.sub("registration")
	defer r.done()
	mode := r.choice("mode", "off", "off", "initial_access_token", "open")
	for _, e := range r.list("initial_access_tokens") {
		item := &section{mark: e.mark, entries: map[string]entry{"token": e}}
		if hash := item.clientSecret("token"); hash.set {
			d.Registration.TokenHashes = append(d.Registration.TokenHashes, hash.v)
		}
	}
	switch mode {
	case "open":
		d.Registration.Mode = realm.RegistrationOpen
		r.entries["mode"].warn("anybody can register clients", "write initial_access_token or off, unless that is what the realm is for")
	case "initial_access_token":
		d.Registration.Mode = realm.RegistrationToken
		if _, there := r.entries["initial_access_tokens"]; !there {
			r.entries["mode"].bad("there is no token to register with", "add initial_access_tokens: [env:NAME]")
		}
	}
	trust := r.flag("trust_redirect_uris", false)
	if d.Registration.TrustRedirects = trust.v; trust.v {
		trust.warn("errors are sent to addresses that anybody registered, without a word to the person", "remove it, unless the realm is for a conformance run")
	}
	d.Registration.PerNetworkPerHour = r.number("per_network_per_hour", d.Registration.PerNetworkPerHour, 1, 100000)
	d.Registration.PerRealmPerHour = r.number("per_realm_per_hour", d.Registration.PerRealmPerHour, 1, 1000000)
	d.Registration.ChangesPerClientHour = r.number("changes_per_client_per_hour", d.Registration.ChangesPerClientHour, 1, 100000)
	d.Registration.UnusedFor = r.duration("unused_for", d.Registration.UnusedFor, day, 730*day)
}
