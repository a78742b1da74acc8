// A single-page app as the manual of oidc-client-ts writes it. The title tells
// the test how far it has got; the test calls the functions of window.app.
"use strict";
(async () => {
  const { authority } = await (await fetch("/settings.json")).json();
  const here = location.origin + "/";
  const manager = new oidc.UserManager({
    authority, client_id: "browser-app", redirect_uri: here, silent_redirect_uri: here, post_logout_redirect_uri: here,
    response_type: "code", scope: "openid profile email offline_access", loadUserInfo: true, automaticSilentRenew: false,
    monitorSession: true, checkSessionIntervalInSeconds: 1, monitorAnonymousSession: false,
  });
  const parameters = new URLSearchParams(location.search);
  if (window.self !== window.top) return manager.signinCallback();

  window.app = { manager, events: [], renewals: [] };
  const show = (text) => { document.title = text; };
  const failed = (error) => { document.getElementById("error").textContent = String(error); show("failed"); };
  manager.events.addUserSignedOut(() => { window.app.events.push("signed out"); show("signed out elsewhere"); });
  window.app.signIn = () => manager.signinRedirect().catch(failed);
  window.app.signOut = () => manager.signoutRedirect({ state: "x" }).catch(failed);
  // By refresh token, and by a hidden frame with prompt=none.
  window.app.renew = async () => {
    const first = await manager.getUser();
    const second = await manager.signinSilent();
    const third = await manager.signinSilent({ forceIframeAuth: true });
    const tokens = new Set([first, second, third].map((user) => user.access_token));
    show(tokens.size === 3 && third.profile.sub === first.profile.sub ? "renewed" : "not renewed");
  };
  window.app.startRenewing = () => { window.app.renew().catch(failed); };
  try {
    if (parameters.has("code") || parameters.has("error")) {
      const user = await manager.signinCallback();
      history.replaceState(null, "", "/");
      show("signed in as " + user.profile.email);
    } else if (parameters.get("state")) {
      await manager.signoutCallback();
      show("signed out");
    } else {
      show("ready");
    }
  } catch (error) {
    failed(error);
  }
})();
