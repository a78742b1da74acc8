package admin

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portico-id/portico/internal/account"
	"github.com/portico-id/portico/internal/database/dbtest"
)

func TestOnlyStrictJSONIsRead(t *testing.T) {
	each(t, func(w *world) {
		post := func(body, contentType string) reply {
			w.t.Helper()
			return w.do(call{method: "POST", path: path("/associations/%s/password-resets", w.miaRosa), token: "front", body: body,
				header: map[string]string{"Idempotency-Key": "k", "Content-Type": contentType}})
		}
		good := `{"confirm_login_email":"rosa@example.test","reason":"x"}`
		for _, bad := range []string{
			`{"confirm_login_email":"rosa@example.test","reason":"x","extra":"y"}`,
			`{"confirm_login_email":"rosa@example.test","reason":"x","reason":"y"}`,
			`{"confirm_login_email":"rosa@example.test","reason":"x","\u0072eason":"y"}`,
			`{"confirm_login_email":"rosa@example.test","Reason":"x"}`,
			`{"CONFIRM_LOGIN_EMAIL":"rosa@example.test","reason":"x"}`,
			`{"confirm_login_email":"rosa@example.test","reason":1}`,
			`{"confirm_login_email":"rosa@example.test","reason":null}`,
			`{"confirm_login_email":["rosa@example.test"],"reason":"x"}`,
			`{"confirm_login_email":{"a":"b"},"reason":"x"}`,
			good + good, good + "x", good + "]", "[" + good + "]", `"x"`, `null`, `{`, `{}}`, "{\"reason\":\"\xff\"}",
			`{"confirm_login_email":"rosa@example.test","reason":"x",}`, `{'reason':'x'}`, "\ufeff" + good,
		} {
			w.want(post(bad, "application/json"), 400, "bad_request")
		}
		for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/problem+json", "nonsense;;"} {
			w.want(post(good, ct), 415, "media_type")
		}
		w.want(post(`{"reason":"`+strings.Repeat("x", maxBody)+`"}`, "application/json"), 413, "too_large")
		w.want(post(strings.Repeat(" ", 1<<20)+good, "application/json"), 413, "too_large")
		w.want(w.do(call{method: "POST", path: path("/associations/%s/password-resets", w.miaRosa), token: "front"}), 415, "media_type")
		if w.tickets() != 0 {
			w.t.Error("a link was sent")
		}
		w.want(post(good+" \n", "application/json; charset=utf-8"), 202, "")
	})
}

func TestUnknownRoutesAndMethodsAreProblems(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	for _, p := range []string{"", "/", "/nothing", "/patients/", "/patients/x/y", "/openapi.yaml", "/docs", "/schemas/Problem.json", "/problems/nothing"} {
		w.want(w.get(p, "front"), 404, "not_found")
	}
	r := w.want(w.do(call{method: "PUT", path: path("/patients/%s", w.mia), token: "front", body: "{}"}), 405, "method")
	if r.header.Get("Allow") != "GET" {
		t.Errorf("Allow %q", r.header.Get("Allow"))
	}
	w.want(w.do(call{method: "POST", path: path("/patients"), token: "front"}), 405, "method")
	r = w.get("/nothing", "")
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", r.header)
	}
	where := strings.TrimPrefix(r.json["type"].(string), "https://id.example.test")
	page := w.do(call{method: "GET", path: where})
	if page.status != 200 || page.json["code"] != "not_found" {
		t.Errorf("%s answers %d %s", where, page.status, page.raw)
	}
}

func TestAPanicIsAProblemAndTellsNothing(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	w.api.d.Tokens = nil
	r := w.want(w.get("/me", "front"), 500, "internal")
	if strings.Contains(r.raw, "nil pointer") || !strings.Contains(w.log.String(), "nil pointer") {
		t.Errorf("answer %s\nlog %s", r.raw, w.log.String())
	}
}

// document is the OpenAPI document as a client reads it.
func document(t *testing.T, w *world) (map[string]any, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	w.server.ServeHTTP(rec, httptest.NewRequest("GET", Path+"/openapi.json", nil))
	if rec.Code != 200 || rec.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %s", rec.Code, rec.Header().Get("Content-Type"))
	}
	var doc map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	return doc, rec.Body.String()
}

func TestTheDescriptionIsCompleteAndTrue(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	doc, raw := document(t, w)
	if doc["openapi"] != "3.1.0" || dig(doc["components"], "securitySchemes", "oauth2", "flows", "authorizationCode", "scopes", "admin.manage") == nil ||
		dig(doc["components"], "securitySchemes", "bearer", "scheme") != "bearer" {
		t.Errorf("document: %.400s", raw)
	}
	described := map[string]bool{}
	for p, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			described[strings.ToUpper(method)+" "+p] = true
			security, _ := json.Marshal(dig(op, "security"))
			scope := "admin.read"
			if method != "get" {
				scope = "admin.manage"
			}
			if string(security) != fmt.Sprintf(`[{"oauth2":[%q]},{"bearer":[]}]`, scope) {
				t.Errorf("%s %s: security %s", method, p, security)
			}
			for status, response := range dig(op, "responses").(map[string]any) {
				content, _ := dig(response, "content").(map[string]any)
				want := "application/json"
				if status >= "400" {
					want = "application/problem+json"
				}
				media, ok := content[want].(map[string]any)
				if len(content) != 1 || !ok || media["schema"] == nil || media["example"] == nil && media["examples"] == nil {
					t.Errorf("%s %s %s: content %v", method, p, status, content)
				}
			}
			for _, status := range []string{"401", "403", "429", "500", "503"} {
				if dig(op, "responses", status) == nil {
					t.Errorf("%s %s does not document %s", method, p, status)
				}
			}
		}
	}
	for path, header := range map[string]string{"/associations/{id}/login-email": "If-Match", "/associations/{id}/password-resets": "Idempotency-Key",
		"/staff": "Idempotency-Key", "/staff/{id}/unfreeze": "Idempotency-Key", "/staff/{id}/roles": "If-Match", "/staff/{id}": "If-Match", "/patients/{id}/associations": "Idempotency-Key"} {
		if !strings.Contains(fmt.Sprint(doc["paths"].(map[string]any)[path]), "name:"+header+" required:true") {
			t.Errorf("%s: %s is not required", path, header)
		}
	}
	want := []string{"DELETE /associations/{id}/invitation", "DELETE /associations/{id}/login-email-change", "DELETE /password-resets/{id}",
		"DELETE /staff/{id}", "GET /associations/{id}", "GET /me", "GET /password-resets/{id}", "GET /patients",
		"GET /patients/{id}", "GET /staff", "GET /staff/{id}", "PATCH /associations/{id}/login-email",
		"POST /associations/{id}/account/second-factor-removal", "POST /associations/{id}/account/unfreeze", "POST /associations/{id}/invitation",
		"POST /associations/{id}/password-resets", "POST /password-resets/{id}/answer-waiver", "POST /password-resets/{id}/answer-waiver/approval",
		"POST /patients/{id}/associations", "POST /staff", "POST /staff/{id}/invitation", "POST /staff/{id}/unfreeze", "PUT /staff/{id}/roles"}
	var got []string
	for d := range described {
		got = append(got, d)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("described %q", got)
	}
	schemas := dig(doc["components"], "schemas").(map[string]any)
	for _, ref := range strings.Split(raw, `"$ref": "#/components/schemas/`)[1:] {
		if name, _, _ := strings.Cut(ref, `"`); schemas[name] == nil {
			t.Errorf("no schema %s", name)
		}
	}
	for name := range schemas {
		if strings.HasPrefix(name, "Error") || strings.HasSuffix(name, "View") {
			t.Errorf("schema %s is not of this API", name)
		}
	}
}

// Every real answer has exactly the keys of its example and of its schema: what
// is documented is what is served.
func TestAnswersLookLikeTheirExamples(t *testing.T) {
	w := build(t, dbtest.SQLite(t))
	doc, _ := document(t, w)
	schemas := dig(doc["components"], "schemas").(map[string]any)
	reset := w.reset(w.miaRosa, "front", "k", "rosa@example.test")
	plain := w.get("/associations/"+w.miaRosa.String(), "front")
	// One with everything that may be null.
	full := w.reset(w.miaShared, "front", "k2", "sam@example.test").json["id"].(string)
	waived := w.post("/password-resets/"+full+"/answer-waiver", "boss", "k", seen)
	approved := w.post("/password-resets/"+full+"/answer-waiver/approval", "boss2", "k", "")
	w.patch(w.miaShared, "front", `"1"`, "sam.new@example.test")
	w.factors.has[w.rosa] = account.FactorSummary{TOTP: true}
	helped := w.post("/associations/"+w.miaRosa.String()+"/account/second-factor-removal", "boss", "k3", seen)
	w.must(w.accounts.Freeze(t.Context(), w.patients, w.rosa, account.By{Actor: "x"}))
	invited := w.invite("front", "k4", "ned@example.test")
	staff := w.post("/staff", "boss", "k5", staffInvitation("stan@staff.example.test", "viewer"))
	dbtest.Advance(w.db, 6*time.Minute)
	for _, c := range []struct {
		got     any
		example any // nil: none
		schema  string
	}{
		{w.get("/patients?by=account&q=rosa", "front").json, examplePage, "PatientPage"},
		{w.get("/patients/"+w.mia.String(), "front").json, examplePatient, "Patient"},
		{plain.json, exampleAssociation, ""},
		{w.get("/associations/"+w.miaShared.String(), "front").json, nil, "Association"},
		{reset.json, exampleReset, ""},
		{waived.json, exampleWaived, "PasswordReset"},
		{approved.json, exampleApproved, "PasswordReset"},
		{helped.json, exampleHelped, "AccountHelped"},
		{w.post("/associations/"+w.miaRosa.String()+"/account/unfreeze", "boss", "k6", seen).json, exampleUnfrozen, "AccountHelped"},
		{invited.json, exampleInvited, "GuardianInvited"},
		{w.post("/associations/"+invited.json["id"].(string)+"/invitation", "front", "k7", "").json, exampleResent, "InvitationSent"},
		{staff.json, exampleStaffInvited, "StaffInvited"},
		{w.get("/staff", "boss").json, exampleStaffPage, "StaffPage"},
		{w.get("/staff/"+staff.json["id"].(string), "boss").json, exampleStaff, "StaffMember"},
		{w.delete("/staff/"+staff.json["id"].(string), "boss", `"1"`).json, exampleRemoved, "StaffRemoved"},
		{w.get("/me", "front").json, exampleMe, "Me"},
	} {
		raw, _ := json.Marshal(c.example)
		var example any
		if err := json.Unmarshal(raw, &example); err != nil {
			t.Fatal(err)
		}
		if a, b := shape(c.got), shape(example); c.example != nil && a != b {
			t.Errorf("served\n%s\ndocumented\n%s", a, b)
		}
		if c.schema == "" {
			continue
		}
		if a, b := shape(c.got), shapeOf(schemas, schemas[c.schema]); a != b {
			t.Errorf("served\n%s\nby the schema %s\n%s", a, c.schema, b)
		}
	}
}

// shapeOf is shape, read from a schema.
func shapeOf(schemas map[string]any, v any) string {
	s, _ := v.(map[string]any)
	if ref, ok := s["$ref"].(string); ok {
		return shapeOf(schemas, schemas[strings.TrimPrefix(ref, "#/components/schemas/")])
	}
	if either, ok := s["oneOf"].([]any); ok {
		return shapeOf(schemas, either[0])
	}
	if s["items"] != nil {
		if inner := shapeOf(schemas, s["items"]); inner != "" {
			return "[" + inner + "]"
		}
		return "[]"
	}
	properties, ok := s["properties"].(map[string]any)
	if !ok {
		return ""
	}
	var keys []string
	for k, inner := range properties {
		keys = append(keys, k+shapeOf(schemas, inner))
	}
	slices.Sort(keys)
	return "{" + strings.Join(keys, " ") + "}"
}

// shape lists the keys of a document, of lists the first element.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var keys []string
		for k, inner := range v {
			keys = append(keys, k+shape(inner))
		}
		slices.Sort(keys)
		return "{" + strings.Join(keys, " ") + "}"
	case []any:
		if len(v) > 0 {
			return "[" + shape(v[0]) + "]"
		}
		return "[]"
	}
	return ""
}

func FuzzStrictObject(f *testing.F) {
	keys := map[string]bool{"a": false, "b": false, "l": true}
	for _, s := range []string{`{}`, `{"a":"x"}`, `{"a":"x","a":"y"}`, `{"a":"x","b":"y"} `, `{"a":1}`, `[]`, `{"a":"x"}{}`, `{"l":["x","y"],"a":""}`, `{"l":"x"}`, `{"l":[1]}`, `{"l":[["x"]]}`, `{"l":[`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if strictObject(raw, keys) != nil {
			return
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatalf("%q was let through: %v", raw, err)
		}
		for k, v := range m {
			var text string
			var texts []string
			list, known := keys[k]
			if !known || list && json.Unmarshal(v, &texts) != nil || !list && json.Unmarshal(v, &text) != nil {
				t.Fatalf("%q: key %q", raw, k)
			}
		}
	})
}
