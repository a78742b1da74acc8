// Package uitest lives the journeys of Portico in a real browser: the demo
// runs as a process of its own, Chromium clicks through the portals, the
// provider's pages and the mailbox, and every page that is shown is checked.
//
// It is a module of its own so that the browser driver stays out of the
// server's dependencies. It holds tests only:
//
//   - main_test.go finds Chromium, builds the demo and starts the browser;
//   - demo_test.go runs the demo on SQLite or PostgreSQL, reads its facts and
//     its mails;
//   - page_test.go drives a tab the way a person would: by what is written on
//     links and buttons, with real clicks and keys;
//   - keyboard_test.go does the same without a mouse, and tabs through whole
//     pages;
//   - wait_test.go waits for the page that must come and reads what it says;
//   - check_test.go holds every page to the bar: axe without a violation,
//     one main and one h1, ids that exist once, no sideways scrolling at 320 px,
//     with text at 200 % and with wide spacing, nothing in the console;
//   - coverage_test.go notes which of the provider's texts the checked pages
//     showed: a whole run fails when a page, or a state of error, was not seen
//     in English and in Spanish;
//   - selftest_test.go seeds defects and shows that the checks see them;
//   - states_test.go, states_factor_test.go and strangers_test.go lead straight to what
//     no journey reaches;
//   - the other files are the journeys.
//
// Two households live the journeys: one reads English on a light phone, one
// Spanish at a dark desk; their practices are the other way round. With
// UITEST_MATRIX=full (make uitest-full, nightly) every page is also checked in
// both colour schemes at both sizes and walked through by keyboard, and whoever
// sits at a desk owns no mouse.
//
// Each page is also kept as a picture in screenshots/, named
// journey.step.language.size.png, because broken words pass every check: look
// at them.
//
// Without Chromium the tests skip on a laptop and fail where CI is set. The
// copy of axe-core in testdata is under the licence beside it.
package uitest
