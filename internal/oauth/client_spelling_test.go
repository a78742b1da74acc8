package oauth

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

// Half of the clients out there do not urlencode what they put into HTTP Basic.
func TestASecretCountsInBothSpellings(t *testing.T) {
	const (
		plus    = "a+b/c+dWXlZ2Vz9k2Qm0Jp7xT4v8yNnRr1sUuHhKkOo="
		percent = "100%zz-and-then-some-more-characters-of-it"
		twice   = "is%2Bnot-a-plus-and-then-some-more-of-it-too"
	)
	clients := []*realm.Client{}
	for id, text := range map[string]string{"plus": plus, "percent": percent, "twice": twice} {
		clients = append(clients, &realm.Client{ID: id, SecretHash: realm.HashSecret(text), AuthMethod: realm.AuthBasic,
			GrantTypes: []string{realm.GrantClientCredentials}, Scopes: []string{"profile"}})
	}
	raw := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	eachIn(t, nil, clients, func(t *testing.T, w *world) {
		for _, test := range []struct {
			name, header string
			status       int
		}{
			{"encoded", basic("plus", plus), 200},
			{"as it is", raw("plus", plus), 200},
			{"a percent sign, encoded", basic("percent", percent), 200},
			{"a percent sign as it is", raw("percent", percent), 200},
			{"what looks encoded, encoded", basic("twice", twice), 200},
			{"what looks encoded, as it is", raw("twice", twice), 200},
			{"with blanks for plus signs", raw("plus", "a b/c dWXlZ2Vz9k2Qm0Jp7xT4v8yNnRr1sUuHhKkOo="), 401},
			{"decoded once too often", raw("twice", "is+not-a-plus-and-then-some-more-of-it-too"), 401},
			{"another's", raw("plus", percent), 401},
			{"nobody's", raw("nobody", plus), 401},
			{"a name that does not decode", raw("%zz", plus), 401},
			{"empty", raw("plus", ""), 401},
		} {
			r := w.do(context.Background(), "POST", "/oauth/token", http.Header{"Authorization": {test.header}}, "grant_type=client_credentials")
			if r.Status != test.status {
				t.Errorf("%s: %d %s", test.name, r.Status, r.Body)
			}
		}
	})
}
