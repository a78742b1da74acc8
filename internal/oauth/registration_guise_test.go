package oauth

import (
	"errors"
	"testing"

	"github.com/portico-id/portico/internal/realm"
)

func TestARegisteredClientCannotPoseAsTheRealmOrItsPortals(t *testing.T) {
	portal := &realm.Client{ID: "patient-portal", Name: "Patient Portal", Names: map[string]string{"es": "Portal del Paciente"}, AuthMethod: realm.AuthNone}
	r, err := realm.New(realm.Realm{Name: "patient", Issuer: "https://id.example.test/patient", Brand: realm.Brand{Name: "Maple Clinic",
		Translations: map[string]realm.BrandWords{"es": {Name: "Clínica Arce"}}}}, []*realm.Client{portal})
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"Patient Portal": false, "patient  PORTAL": false, "Maple Clinic": false, "clinica arce": false, "portal del paciente": false, "patient-portal": false,
		" ": false, "\u3164": false, "a\u2028b": false, "Growth chart": true, "": true,
	} {
		m := clientMetadata{Name: name}
		err := errors.Join(m.checkTexts(), m.checkName(r))
		if (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
