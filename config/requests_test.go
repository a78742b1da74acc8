package config_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/portico-id/portico/config"
	"github.com/portico-id/portico/internal/realm"
)

// TestTheConformanceExampleSaysWhatItRelaxes reads the example and insists that
// nothing in it is weaker without a warning and a word beside it.
func TestTheConformanceExampleSaysWhatItRelaxes(t *testing.T) {
	c, _ := loadExample(t, "conformance.example.yaml")
	r := c.Realms()[0]
	if !slices.Equal(r.OAuth.ResponseTypes, realm.ResponseTypes) || !r.OAuth.OptionalPKCE || r.OAuth.Objects != realm.ObjectsUnsigned ||
		!r.OAuth.RequestURIs || r.OAuth.RequirePAR || !slices.Contains(r.OAuth.GrantTypes, realm.GrantImplicit) {
		t.Errorf("%+v", r.OAuth)
	}
	for _, key := range []string{"response_types", "pkce", "request_objects", "request_uris", "test_people", "session_management", "unsigned_id_tokens", "registration.mode", "exempt_hosts"} {
		if !slices.ContainsFunc(c.Warnings, func(p config.Problem) bool { return strings.Contains(p.Path, key) }) {
			t.Errorf("no warning about %s", key)
		}
	}
	if len(c.TestPeople) != 1 || c.TestPeople[0].Realm != r.Name || len(c.TestPeople[0].Password.Reveal()) < 15 {
		t.Fatalf("%+v", c.TestPeople)
	}
	var profile map[string]any
	if err := json.Unmarshal(c.TestPeople[0].Profile, &profile); err != nil {
		t.Fatal(err)
	}
	for _, claim := range []string{"middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender",
		"birthdate", "zoneinfo", "phone_number", "phone_number_verified", "address"} {
		if profile[claim] == nil {
			t.Errorf("the test person has no %s", claim)
		}
	}
	if len(r.Clients()) != 3 {
		t.Errorf("%v", r.Clients())
	}
}

func TestWhatDoesNotFitTogetherInRequestsIsReported(t *testing.T) {
	for text, want := range map[string]string{
		"    oauth: {response_types: [code, magic]}":                           "not among the response types",
		"    oauth: {response_types: [code, code]}":                            "stands here twice",
		"    oauth: {pkce: never}":                                             "not possible here",
		"    oauth: {request_objects: none}":                                   "not possible here",
		"    oauth: {request_objects: refused, request_uris: true}":            "nothing to fetch",
		"    test_people: [{email: a@example.test, password: in-the-open-xx}]": "a secret stands in the file",
		"    oauth: {require_pushed_authorization_requests: maybe}":            "not possible here",
		"    oauth: {request_uri_fetches_per_client_per_minute: 0}":            "whole number from 1 to 10000",
	} {
		_, err := config.Parse("idp.yaml", []byte(strings.Replace(minimal, "    clients:", text+"\n    clients:", 1)), lookup)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"        response_types: [code id_token]":                "not among the response types",
		"        request_uris: [https://rp.example.test/object]": "fetches no request objects",
		"        request_object_signing_alg: none":               "not possible here",
		"        request_object_signing_alg: HS256":              "not possible here",
		"        request_uris: [http://rp.example.test/object]":  "no address to fetch",
		"        require_pushed_authorization_requests: 1":       "not possible here",
	} {
		_, err := config.Parse("idp.yaml", []byte(minimal+text+"\n"), lookup)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAnImplicitClientGetsItsGrantAndASecureRealmHasNone(t *testing.T) {
	text := strings.Replace(minimal, "    clients:", "    oauth: {response_types: [code, id_token]}\n    clients:", 1) + "        response_types: [id_token code, id_token]\n"
	if _, err := config.Parse("idp.yaml", []byte(text), lookup); err == nil {
		t.Error("a response type the realm does not allow")
	}
	text = strings.Replace(text, "[id_token code, id_token]", "[code, id_token]", 1)
	c, err := config.Parse("idp.yaml", []byte(text), lookup)
	if err != nil {
		t.Fatal(err)
	}
	cl, _ := c.Realms()[0].Client("portal")
	if !cl.AllowsGrant(realm.GrantImplicit) || !cl.AllowsResponse("id_token") || cl.AllowsResponse("code token") || len(c.Warnings) == 0 {
		t.Errorf("%+v %v", cl, c.Warnings)
	}
	c, err = config.Parse("idp.yaml", []byte(minimal), lookup)
	if err != nil {
		t.Fatal(err)
	}
	r := c.Realms()[0]
	if slices.Contains(r.OAuth.GrantTypes, realm.GrantImplicit) || !slices.Equal(r.OAuth.ResponseTypes, []string{"code"}) ||
		r.OAuth.OptionalPKCE || r.OAuth.Objects != realm.ObjectsSigned || r.OAuth.RequestURIs || len(c.TestPeople) != 0 {
		t.Errorf("%+v", r.OAuth)
	}
}
