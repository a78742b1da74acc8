package seed

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/portico-id/portico/internal/password"
)

func TestEveryReferenceLeadsSomewhere(t *testing.T) {
	d := Demo()
	ids := map[uuid.UUID]string{}
	add := func(id uuid.UUID, what string) {
		if other, taken := ids[id]; taken {
			t.Errorf("%s and %s have one ID", what, other)
		}
		if id.Version() != 7 {
			t.Errorf("%s: UUID version %d, want 7", what, id.Version())
		}
		ids[id] = what
	}
	for _, p := range d.Practices {
		add(p.ID, "practice "+p.Name)
	}
	for _, a := range d.Accounts {
		add(a.ID, "account "+a.Realm+" "+a.Email)
	}
	for _, p := range d.Patients {
		add(p.ID, "patient "+p.AccountNumber)
	}
	for _, a := range d.Associations {
		add(a.ID, "association")
		if !strings.HasPrefix(ids[a.PatientID], "patient ") || !strings.HasPrefix(ids[a.AccountID], "account patient ") {
			t.Errorf("association of %q with %q", ids[a.PatientID], ids[a.AccountID])
		}
	}
	for _, r := range d.StaffRoles {
		if !strings.HasPrefix(ids[r.AccountID], "account practice ") || !strings.HasPrefix(ids[r.PracticeID], "practice ") {
			t.Errorf("role of %q in %q", ids[r.AccountID], ids[r.PracticeID])
		}
	}
}

func TestPasswordsPassTheProvidersPolicy(t *testing.T) {
	blocklist, err := password.NewBlocklist()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, a := range Demo().Accounts {
		if a.State == Invited {
			if a.Password+a.Question+a.Answer != "" || a.InvitedBy == uuid.Nil {
				t.Errorf("%s is invited and must have nothing but an inviting practice", a.Email)
			}
			continue
		}
		context := []string{a.Email, a.GivenName, a.FamilyName, "Patient Portal", "Practice Portal", "Portico", maple.Name, juniper.Name}
		if err := blocklist.Check(password.Policy{MinLength: 15}, a.Password, context); err != nil || utf8.RuneCountInString(a.Password) < 15 {
			t.Errorf("password of %s: %v", a.Email, err)
		}
		if seen[a.Password] {
			t.Errorf("%s has somebody else's password", a.Email)
		}
		seen[a.Password] = true
	}
}

func TestTheSpecialCasesAreThere(t *testing.T) {
	d := Demo()
	guardians, practicesOf := map[uuid.UUID]int{}, map[uuid.UUID]map[uuid.UUID]bool{}
	practice := map[uuid.UUID]uuid.UUID{}
	for _, p := range d.Patients {
		practice[p.ID] = p.PracticeID
	}
	self, without := false, false
	for _, a := range d.Associations {
		guardians[a.PatientID]++
		if practicesOf[a.AccountID] == nil {
			practicesOf[a.AccountID] = map[uuid.UUID]bool{}
		}
		practicesOf[a.AccountID][practice[a.PatientID]] = true
		self = self || a.Relationship == "self"
		without = without || !a.PortalAccess
	}
	byEmail, states, noQuestion := map[string][]Account{}, map[string]int{}, 0
	for _, a := range d.Accounts {
		byEmail[a.Email] = append(byEmail[a.Email], a)
		states[a.State]++
		if a.Realm == PatientRealm && a.State == Active && a.Question == "" {
			noQuestion++
		}
	}
	twins := byEmail["j.blake@example.test"]
	roles := map[string]int{}
	for _, r := range d.StaffRoles {
		roles[r.Role]++
	}
	staffed := func(a Account) bool {
		return slices.ContainsFunc(d.StaffRoles, func(r StaffRole) bool { return r.AccountID == a.ID })
	}
	checks := map[string]bool{
		"two guardians of one child":         guardians[mateo.ID] == 2,
		"a guardian in both practices":       len(practicesOf[wei.ID]) == 2,
		"a teenager with an account":         self,
		"a guardian without a question":      noQuestion == 1,
		"one disabled":                       states[Disabled] == 1,
		"one invited":                        states[Invited] == 1,
		"an association without access":      without,
		"a patient without guardians":        guardians[walter.ID] == 0,
		"one email, two people":              len(twins) == 2 && twins[0].Realm != twins[1].Realm && twins[0].Name() != twins[1].Name() && twins[0].Password != twins[1].Password && twins[0].Question != twins[1].Question && twins[0].Answer != twins[1].Answer,
		"each practice may reset":            roles["administrator"] == 3, // two of them in one, for what needs two people
		"some may only look":                 roles["viewer"] >= 1,
		"a provider":                         roles["provider"] == 1,
		"a member of staff without any role": !staffed(kim),
	}
	for what, ok := range checks {
		if !ok {
			t.Errorf("missing: %s", what)
		}
	}
}

func TestFactsNameEverything(t *testing.T) {
	realms := []Realm{
		{Name: PatientRealm, Issuer: "http://localhost:9000/patient", Clients: []Client{{ID: "spa"}}},
		{Name: PracticeRealm, Issuer: "http://localhost:9000/practice"},
	}
	raw, err := json.Marshal(Describe(Demo(), realms, "http://localhost:9000/admin/v1", "http://localhost:9003", func(key string) string { return "What? " + key }))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Realms map[string]struct {
			Issuer  string
			Clients []map[string]any
			People  []map[string]any
		}
		Practices, Patients []map[string]any
		Associations        []struct {
			ID            string
			PatientID     string `json:"patient_id"`
			GuardianEmail string `json:"guardian_email"`
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Realms["patient"].Issuer != realms[0].Issuer || len(doc.Realms["patient"].People) != 14 || len(doc.Realms["practice"].People) != 9 {
		t.Errorf("realms: %+v", doc.Realms)
	}
	for _, person := range doc.Realms["practice"].People {
		if person["email"] == "rosa.jimenez@maple.example.test" {
			if person["practice"] != maple.Name || !slices.Equal(person["roles"].([]any), []any{"front_desk"}) || person["security_question"] != "What? first_teacher" {
				t.Errorf("staff: %v", person)
			}
		}
	}
	if len(doc.Practices) != 2 || len(doc.Patients) != 17 || len(doc.Associations) != 19 {
		t.Errorf("%d practices, %d patients, %d associations", len(doc.Practices), len(doc.Patients), len(doc.Associations))
	}
	if a := doc.Associations[0]; a.PatientID != mateo.ID.String() || a.GuardianEmail != ana.Email {
		t.Errorf("association: %+v", a)
	}
}
