package admin

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/portico-id/portico/internal/realm"
)

// operation is what is said about a route, beside its input and output types.
type operation struct {
	id, method, path string
	scope            string
	tag              string
	summary, text    string
	status           int    // of success; 0: 200
	accepted         string // what 202 says, when it is another success
	errors           []int  // besides 401, 403, 429, 500 and 503
	example          any    // of the answer
}

// config is huma's, without what it adds by itself: links to schemas, a page
// with scripts of other hosts, formats besides JSON.
func (a *API) config() huma.Config {
	scopes := map[string]string{
		realm.ScopeAdminRead:   "search patients, look at associations and links",
		realm.ScopeAdminManage: "invite and help guardians, send and cancel reset links, manage staff",
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Portico admin API",
				Version: "1.0.0",
				Description: "Lets staff of a practice help guardians back into the portal. Call it with the access token of a person who signed in at the practice realm; " +
					"what they may do follows from the token's scopes and from their current roles. Every error is a problem document (RFC 9457) with a stable code.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: a.base}},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"oauth2": {Type: "oauth2", Description: "Authorization code with PKCE at the practice realm. Access tokens of client_credentials are refused.",
						Flows: &huma.OAuthFlows{AuthorizationCode: &huma.OAuthFlow{
							AuthorizationURL: a.d.Practice.URL("/oauth/authorize"), TokenURL: a.d.Practice.URL("/oauth/token"), Scopes: scopes}}},
					"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "The access token (RFC 9068), audience " + a.d.Audience},
				},
			},
			Tags: []*huma.Tag{
				{Name: "Me", Description: "The asking person"},
				{Name: "Patients", Description: "Finding patients"},
				{Name: "Associations", Description: "Guardians' portal access and account settings"},
				{Name: "Password resets", Description: "Reset links that staff send"},
				{Name: "Help", Description: "For guardians whom a link alone does not help"},
				{Name: "Staff", Description: "Who works in a practice, and what they may do"},
			},
		},
		Formats:                      huma.DefaultFormats,
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{a.transform},
	}
}

// schemaName names the schemas by what they are, not by our types.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if name, ok := map[string]string{
		"Problem": "Problem", "Invalid": "Invalid", "meView": "Me", "memberView": "Membership", "permsView": "Permissions",
		"practiceView": "Practice", "listingView": "AssociationListing", "patientView": "Patient", "patientPage": "PatientPage",
		"briefPatientView": "PatientBrief", "guardianView": "Guardian", "canView": "Can", "associationView": "Association",
		"emailChangedView": "LoginEmailChanged", "resetView": "PasswordReset", "resetEventView": "PasswordResetEvent",
		"sendBody": "PasswordResetRequest", "emailBody": "LoginEmailChange", "emailChangeView": "LoginEmailChangeWaiting",
		"waiverView": "AnswerWaiver", "identityBody": "IdentityCheck", "helpedView": "AccountHelped",
		"inviteBody": "GuardianInvitation", "invitedView": "GuardianInvited", "resentView": "InvitationSent",
		"staffView": "StaffMember", "staffPage": "StaffPage", "inviteStaffBody": "StaffInvitation", "staffInvitedView": "StaffInvited",
		"rolesBody": "StaffRoles", "removedView": "StaffRemoved",
	}[t.Name()]; ok {
		return name
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// operation turns ours into huma's, with the errors it can answer.
func (a *API) operation(o operation) huma.Operation {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.text, Tags: []string{o.tag},
		DefaultStatus: o.status, MaxBodyBytes: maxBody + 1, RejectUnknownQueryParameters: true,
		Security:  []map[string][]string{{"oauth2": {o.scope}}, {"bearer": {}}},
		Responses: map[string]*huma.Response{},
	}
	success := &huma.MediaType{}
	if o.example != nil {
		success.Example = o.example
	}
	op.Responses[strconv.Itoa(o.status)] = &huma.Response{
		Description: http.StatusText(o.status), Content: map[string]*huma.MediaType{"application/json": success}}

	if o.accepted != "" {
		op.Responses["202"] = &huma.Response{Description: o.accepted, Content: map[string]*huma.MediaType{"application/json": {
			Schema: &huma.Schema{Ref: "#/components/schemas/LoginEmailChanged"}, Example: o.example}}}
	}

	statuses := append([]int{401, 403, 429, 500, 503}, o.errors...)
	slices.Sort(statuses)
	for _, status := range slices.Compact(statuses) {
		op.Responses[strconv.Itoa(status)] = a.problemResponse(status)
	}
	return op
}

// problemResponse documents a status with an example of each problem that has
// it.
func (a *API) problemResponse(status int) *huma.Response {
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	examples := map[string]*huma.Example{}
	for _, code := range codesOf(status) {
		p := newProblem(code, "")
		p.Type = a.base + "/problems/" + code
		p.RequestID = "7Q2M-K4XT-9ZB1-D5W8"
		if code == "invalid" {
			p.Errors = []Invalid{{"body.reason", "Enter the reason"}}
		}
		examples[code] = &huma.Example{Summary: p.Title, Value: p}
	}
	r := &huma.Response{Description: http.StatusText(status),
		Content: map[string]*huma.MediaType{"application/problem+json": {Schema: schema, Examples: examples}}}
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		r.Headers = map[string]*huma.Header{"WWW-Authenticate": {Description: "RFC 6750 §3, RFC 9470 §3", Schema: &huma.Schema{Type: "string"},
			Example: challenge("error", "insufficient_user_authentication", "error_description", "A more recent sign-in is needed", "max_age", seconds(a.d.Practice.Lifetimes.StaffAction))}}
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		r.Headers = map[string]*huma.Header{"Retry-After": {Description: "Seconds to wait", Schema: &huma.Schema{Type: "integer"}}}
	}
	return r
}

// description is the OpenAPI document, with what huma cannot know: that its
// own error model is in no answer, what may be null, and that two
// headers are required (a missing one has a problem of its own, not 422).
func (a *API) description() ([]byte, error) {
	schemas := a.huma.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "ErrorDetail")
	for schema, properties := range map[string][]string{"Association": {"latest_reset", "login_email_change"}, "PasswordReset": {"answer_waiver"}} {
		for _, name := range properties {
			p := schemas[schema].Properties[name]
			schemas[schema].Properties[name] = &huma.Schema{Description: p.Description, OneOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}}}
		}
	}
	for _, item := range a.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Patch, item.Post, item.Put, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				p.Required = p.Required || p.In == "header"
			}
		}
	}
	return json.MarshalIndent(a.huma.OpenAPI(), "", "  ")
}

// bodyOf finds the type of an input's body.
func bodyOf[I any]() (reflect.Type, bool) {
	f, ok := reflect.TypeFor[I]().FieldByName("Body")
	if !ok {
		return nil, false
	}
	return f.Type, true
}
