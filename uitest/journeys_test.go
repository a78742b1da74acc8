package uitest

import (
	"testing"
)

// The texts that the product's owner asked for word for word, in both
// languages: a change of a locale file that loses one must fail here.
const (
	forgotEN, forgotES = "Forgot your password?", "¿Olvidó su contraseña?"

	noMatchEN  = "That email and password do not match. Check both and try again."
	noMatchES  = "El correo electrónico y la contraseña no coinciden. Revíselos e inténtelo de nuevo."
	formatEN   = "Enter an email address like name@example.com"
	formatES   = "Escriba un correo electrónico como nombre@ejemplo.com"
	wrongEN    = "That answer does not match. Tries left: 4."
	wrongES    = "La respuesta no coincide. Intentos restantes: 4."
	shortEN    = "Use at least 15 characters"
	shortES    = "Use al menos 15 caracteres"
	commonEN   = "That password is easy to guess. Try three unrelated words."
	commonES   = "Esa contraseña es fácil de adivinar. Pruebe tres palabras sin relación."
	mismatchEN = "The two passwords are not the same"
	mismatchES = "Las dos contraseñas no son iguales"
	checkEN    = "Check your email"
	checkES    = "Revise su correo electrónico"
	myEN, myES = "My Account", "Mi cuenta"

	// Subjects of mails, without the names in them.
	resetEN, resetES     = "Reset your Patient Portal password", "Restablezca su contraseña"
	changedEN, changedES = "password was changed", "Se cambió su contraseña"
)

// household is who uses which device: the patient realm is shown in English on
// a phone and in Spanish at a desk, the practice realm the other way round.
type household struct {
	name              string
	patient, practice profile
}

var households = []household{
	{"phone-at-home", phoneLight, desktopLight},
	{"desk-at-home", desktopDark, phoneDark},
}

// TestJourneys lives the journeys with both households, and those that are not
// about pages alone a second time on the other engine. Every household has a
// demo of its own, so the same people can be used.
func TestJourneys(t *testing.T) {
	t.Parallel()
	for _, e := range []engine{sqlite, postgres} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			for i, h := range households {
				if i > 0 && e != sqlite {
					continue
				}
				t.Run(h.name, func(t *testing.T) {
					t.Parallel()
					d := startDemo(t, e)
					journeys := []struct {
						name string
						live func(*testing.T, *demo, profile)
						at   profile
						once bool // no need for it on the second engine: the rooms' own tests know both
					}{
						{"sign in and out", signInAndOut, h.patient, false},
						{"keep me signed in", keepSignedIn, h.patient, true},
						{"my account", selfCare, h.patient, true},
						{"second step", secondStep, h.patient, true},
						{"forgot password", forgotPassword, h.patient, false},
						{"change password as a patient", changePasswordPatient, h.patient, false},
						{"a second step for an application", enrol, h.patient, true},
						{"what staff can help with", staffHelp, h.practice, true},
						{"a reset without a question", waived, h.practice, true},
						{"activation", activation, h.patient, false},
						{"pages that refuse", refusals, h.patient, true},
						{"consent", consent, h.patient, true},
						{"staff-assisted reset", staffReset, h.practice, false},
						{"change password as staff", changePasswordStaff, h.practice, false},
						{"forgot password as staff", forgotPasswordStaff, h.practice, false},
						{"what others may not do", staffLimits, h.practice, true},
						{"forgot password without scripts", forgotWithoutScripts, h.patient, true},
						{"sign in by keyboard", signInByKeyboard, h.patient, true},
					}
					for _, j := range journeys {
						if j.once && e != sqlite {
							continue
						}
						t.Run(j.name, func(t *testing.T) { j.live(t, d, j.at) })
					}
				})
			}
		})
	}
}
