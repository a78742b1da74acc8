package patientportal

import (
	"net/http"
	"strings"

	"golang.org/x/text/language"
)

// words are the sentences of the portal: English, Spanish.
var words = map[string][2]string{
	"site":                {"Patient Portal", "Portal del Paciente"},
	"skip":                {"Skip to main content", "Ir al contenido principal"},
	"nav":                 {"Main", "Principal"},
	"nav.home":            {"Home", "Inicio"},
	"nav.settings":        {"Settings", "Configuración"},
	"nav.sign_out":        {"Sign out", "Cerrar sesión"},
	"sign_in":             {"Sign in", "Iniciar sesión"},
	"sign_in_again":       {"Sign in again", "Iniciar sesión de nuevo"},
	"error.prefix":        {"Error:", "Error:"},
	"error.heading":       {"There is a problem", "Hay un problema"},
	"footer":              {"This is a demonstration. Every person and practice in it is invented.", "Esto es una demostración. Todas las personas y los consultorios son inventados."},
	"footer.help":         {"Need help? Call your practice at 555-0100.", "¿Necesita ayuda? Llame a su consultorio al 555-0100."},
	"landing.title":       {"Welcome to your Patient Portal", "Le damos la bienvenida al Portal del Paciente"},
	"landing.lead":        {"Keep in touch with the people who care for you and your family.", "Manténgase en contacto con quienes le atienden a usted y a su familia."},
	"landing.how":         {"You sign in on a separate, secure page and come straight back here.", "Usted inicia sesión en una página aparte y segura, y vuelve directamente aquí."},
	"landing.forgot":      {"If you forgot your password, choose “Forgot your password?” on that page.", "Si olvidó su contraseña, elija «¿Olvidó su contraseña?» en esa página."},
	"home.title":          {"Hello, {name}", "Hola, {name}"},
	"home.lead":           {"You are signed in as {email}.", "Ha iniciado sesión como {email}."},
	"home.settings":       {"Your account, email and password", "Su cuenta, correo electrónico y contraseña"},
	"home.since":          {"You signed in on {time}.", "Inició sesión el {time}."},
	"settings.title":      {"Settings", "Configuración"},
	"settings.account":    {"My Account", "Mi cuenta"},
	"settings.about":      {"How you sign in, your password and your devices", "Cómo inicia sesión, su contraseña y sus dispositivos"},
	"account.title":       {"My Account", "Mi cuenta"},
	"account.lead":        {"Your account is kept by the sign-in service. These links lead there.", "El servicio de inicio de sesión guarda su cuenta. Estos enlaces llevan allí."},
	"account.name":        {"Name", "Nombre"},
	"account.email":       {"Email", "Correo electrónico"},
	"account.password":    {"Password", "Contraseña"},
	"account.hidden":      {"Known only to you", "Solo usted la conoce"},
	"account.change":      {"Change password", "Cambiar la contraseña"},
	"account.all":         {"See everything in your account", "Ver todo lo que hay en su cuenta"},
	"out.title":           {"You are signed out", "Ha cerrado la sesión"},
	"out.text":            {"On a shared device, close the browser window too.", "En un dispositivo compartido, cierre también la ventana del navegador."},
	"error.unknown.title": {"Something went wrong", "Algo salió mal"},
	"error.unknown.text":  {"Nothing was changed. Try again in a minute.", "No se cambió nada. Inténtelo de nuevo en un minuto."},
	"error.state.title":   {"This sign-in timed out", "El inicio de sesión caducó"},
	"error.state.text":    {"It took too long, or it was started in another browser. Sign in again.", "Tardó demasiado o se inició en otro navegador. Inicie sesión de nuevo."},
	"error.denied.title":  {"You are not signed in", "No ha iniciado sesión"},
	"error.denied.text":   {"The sign-in was not finished. You can try again.", "El inicio de sesión no se terminó. Puede intentarlo de nuevo."},
	"error.down.title":    {"Signing in does not work right now", "Ahora no se puede iniciar sesión"},
	"error.down.text":     {"The sign-in service does not answer. Try again in a few minutes.", "El servicio de inicio de sesión no responde. Inténtelo de nuevo en unos minutos."},
	"error.form.title":    {"This page timed out", "Esta página caducó"},
	"error.form.text":     {"Go back to the start and try again. Nothing was changed.", "Vuelva al inicio e inténtelo de nuevo. No se cambió nada."},
	"error.missing.title": {"We could not find that page", "No encontramos esa página"},
	"error.missing.text":  {"Check the address, or go back to the start.", "Revise la dirección o vuelva al inicio."},
	"error.home":          {"Back to the start", "Volver al inicio"},
}

// say returns a sentence with its {name} placeholders filled.
func say(lang, key string, pairs ...string) string {
	text, ok := words[key]
	if !ok {
		return key
	}
	sentence := text[0]
	if lang == "es" {
		sentence = text[1]
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		sentence = strings.ReplaceAll(sentence, "{"+pairs[i]+"}", pairs[i+1])
	}
	return sentence
}

const languageCookie = "patient_portal_lang"

var matcher = language.NewMatcher([]language.Tag{language.English, language.Spanish})

func supported(lang string) bool { return lang == "en" || lang == "es" }

// chooseLanguage decides the language of a page: the link that was followed,
// then an earlier choice, then the account's, then the browser's.
func chooseLanguage(w http.ResponseWriter, r *http.Request, account string, secure bool) string {
	if lang := r.URL.Query().Get("lang"); supported(lang) {
		http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: lang, Path: "/", MaxAge: 365 * 24 * 3600,
			HttpOnly: true, Secure: secure, SameSite: http.SameSiteLaxMode})
		return lang
	}
	if cookie, err := r.Cookie(languageCookie); err == nil && supported(cookie.Value) {
		return cookie.Value
	}
	preferences := r.Header.Get("Accept-Language")
	if account != "" {
		preferences = account
	}
	tags, _, err := language.ParseAcceptLanguage(preferences)
	if err != nil || len(tags) == 0 {
		return "en"
	}
	if _, index, confidence := matcher.Match(tags...); index == 1 && confidence > language.No {
		return "es"
	}
	return "en"
}
