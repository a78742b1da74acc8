package seed

import "github.com/google/uuid"

// Client is a relying party as a script needs to know it.
type Client struct {
	ID                     string   `json:"client_id"`
	Secret                 string   `json:"client_secret,omitempty"`
	AuthMethod             string   `json:"token_endpoint_auth_method"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	GrantTypes             []string `json:"grant_types"`
	Scopes                 []string `json:"scopes"`
}

// Realm is what [Describe] is told about a realm.
type Realm struct {
	Name, Issuer, Portal string
	Clients              []Client
}

// Facts is the document GET /demo.json: what a script needs to drive the demo.
// Passwords and answers are those the demo began with.
type Facts struct {
	AdminAPI     string               `json:"admin_api"`
	Mailbox      string               `json:"mailbox"`
	Realms       map[string]realmFact `json:"realms"`
	Practices    []practiceFact       `json:"practices"`
	Patients     []patientFact        `json:"patients"`
	Associations []associationFact    `json:"associations"`
}

type realmFact struct {
	Name    string       `json:"name"`
	Issuer  string       `json:"issuer"`
	Portal  string       `json:"portal"`
	Clients []Client     `json:"clients"`
	People  []personFact `json:"people"`
}

type personFact struct {
	ID               uuid.UUID `json:"id"`
	Name             string    `json:"name"`
	Email            string    `json:"email"`
	Password         string    `json:"password"`
	SecurityQuestion string    `json:"security_question"` // the sentence, in English
	QuestionKey      string    `json:"security_question_key"`
	SecurityAnswer   string    `json:"security_answer"`
	State            string    `json:"state"`
	Locale           string    `json:"locale"`
	Practice         string    `json:"practice,omitempty"`
	PracticeID       string    `json:"practice_id,omitempty"`
	Roles            []string  `json:"roles,omitempty"`
	About            string    `json:"about"`
}

type practiceFact struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

type patientFact struct {
	ID            uuid.UUID `json:"id"`
	PracticeID    uuid.UUID `json:"practice_id"`
	Practice      string    `json:"practice"`
	AccountNumber string    `json:"account_number"`
	Name          string    `json:"name"`
	GivenName     string    `json:"given_name"`
	FamilyName    string    `json:"family_name"`
	BirthDate     string    `json:"birth_date"`
}

type associationFact struct {
	ID            uuid.UUID `json:"id"`
	PatientID     uuid.UUID `json:"patient_id"`
	Patient       string    `json:"patient"`
	Guardian      string    `json:"guardian"`
	GuardianEmail string    `json:"guardian_email"`
	Relationship  string    `json:"relationship"`
	Authority     string    `json:"authority"`
	PortalAccess  bool      `json:"portal_access"`
	StartsOn      string    `json:"starts_on"`
	EndsOn        string    `json:"ends_on"`
}

// Describe makes the facts document. question turns the key of a security
// question into its sentence.
func Describe(d *Data, realms []Realm, adminAPI, mailbox string, question func(key string) string) *Facts {
	f := &Facts{AdminAPI: adminAPI, Mailbox: mailbox, Realms: map[string]realmFact{}}
	practices := map[uuid.UUID]Practice{}
	for _, p := range d.Practices {
		practices[p.ID] = p
		f.Practices = append(f.Practices, practiceFact{p.ID, p.Name})
	}
	accounts := map[uuid.UUID]Account{}
	for _, a := range d.Accounts {
		accounts[a.ID] = a
	}
	for _, r := range realms {
		f.Realms[r.Name] = realmFact{r.Name, r.Issuer, r.Portal, r.Clients, d.people(r.Name, practices, question)}
	}
	patients := map[uuid.UUID]Patient{}
	for _, p := range d.Patients {
		patients[p.ID] = p
		f.Patients = append(f.Patients, patientFact{p.ID, p.PracticeID, practices[p.PracticeID].Name, p.AccountNumber,
			p.GivenName + " " + p.FamilyName, p.GivenName, p.FamilyName, p.BirthDate})
	}
	for _, a := range d.Associations {
		who, whose := accounts[a.AccountID], patients[a.PatientID]
		f.Associations = append(f.Associations, associationFact{a.ID, a.PatientID, whose.GivenName + " " + whose.FamilyName,
			who.Name(), who.Email, a.Relationship, a.Authority, a.PortalAccess, a.StartsOn, a.EndsOn})
	}
	return f
}

func (d *Data) people(realm string, practices map[uuid.UUID]Practice, question func(string) string) []personFact {
	var people []personFact
	for _, a := range d.Accounts {
		if a.Realm != realm {
			continue
		}
		person := personFact{ID: a.ID, Name: a.Name(), Email: a.Email, Password: a.Password, QuestionKey: a.Question,
			SecurityAnswer: a.Answer, State: a.State, Locale: a.Locale, About: a.About}
		if a.Question != "" {
			person.SecurityQuestion = question(a.Question)
		}
		for _, role := range d.StaffRoles {
			if role.AccountID == a.ID {
				person.Practice, person.PracticeID = practices[role.PracticeID].Name, role.PracticeID.String()
				person.Roles = append(person.Roles, role.Role)
			}
		}
		people = append(people, person)
	}
	return people
}
