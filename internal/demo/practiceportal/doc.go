// Package practiceportal is the demo's Practice Portal: a web application for
// the staff of practices, who sign in through the provider's practice realm.
// It is written as a customer would write it: everything it knows of patients
// and portal accounts comes from the provider's admin API, called with the
// signed-in person's access token, so the provider decides what each of them
// may see and do.
//
// Journeys: Patient Administration → search with the Account filter → patient →
// Associations → guardian → Account Settings → Login email, Reset Password,
// invitation, unfreezing, second step;
// My Account → Change Password; Sign out.
//
// Routes: GET / · /patients · /patients/{id} · /associations/{id} ·
// /associations/{id}/password-resets/{reset} · /account · /signin · /callback ·
// /signed-out; GET and POST /associations/{id}/login-email ·
// /associations/{id}/reset-password · /associations/{id}/invitation ·
// /associations/{id}/unfreeze · /associations/{id}/second-step;
// POST /associations/{id}/password-resets/{reset}/cancel · /signout.
//
// Promises: no token and no answer to a security question ever reaches a page;
// what was typed survives a sign-in that interrupts it; a form sent twice sends
// one link.
package practiceportal
