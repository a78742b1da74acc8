// Package patientportal is the demo's Patient Portal: a web application for
// parents, guardians and patients, in English and Spanish, that signs them in
// through the provider's patient realm. It is written as a customer would
// write it and shares nothing with the provider but the issuer's address.
//
// Journeys: Sign in; Settings → My Account → Change password; Sign out.
//
// Routes: GET / · /settings · /settings/account · /signin · /callback ·
// /signed-out, POST /signin · /signout.
package patientportal
