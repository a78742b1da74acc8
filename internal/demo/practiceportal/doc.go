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
// patient → Associations → Invite a parent or guardian;
// reset link → two administrators do without its security question;
// Staff → invite, roles, invitation, unfreezing, removal;
// My Account → Change Password; Sign out. Another site may start a sign-in
// (OpenID Connect Core 1.0 §4): its target_link_uri is followed within the portal.
//
// Routes: GET / · /patients · /patients/{id} · /associations/{id} ·
// /associations/{id}/password-resets/{reset} · /account · /signin · /callback ·
// /signed-out; GET and POST /associations/{id}/login-email ·
// /associations/{id}/reset-password · /associations/{id}/invitation ·
// /associations/{id}/unfreeze · /associations/{id}/second-step ·
// /associations/{id}/take-back · /associations/{id}/login-email-change ·
// /associations/{id}/password-resets/{reset}/waiver and …/waiver/approval ·
// /patients/{id}/invite · /staff/invite · /staff/{id}/roles ·
// /staff/{id}/invitation · /staff/{id}/unfreeze · /staff/{id}/remove;
// GET /staff · /staff/{id}; POST /signin;
// POST /associations/{id}/password-resets/{reset}/cancel · /signout.
//
// Which links are offered follows from what the API said the person may do, up
// to half a minute ago; what is done, the API decides.
//
// Promises: no token and no answer to a security question ever reaches a page;
// what was typed survives a sign-in that interrupts it; a form sent twice sends
// one link.
package practiceportal
