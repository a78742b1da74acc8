// Passkeys (WebAuthn). A button data-passkey="get" or "create" stands in a form
// with the hidden inputs "options" (what the server asks) and "response" (what
// the passkey answers). Without this script the button stays hidden.
//
//   [data-passkey-none]         inside the form: said where passkeys do not work
//   [data-passkey-status]       inside the form: says what went wrong, in the
//                               words of its data-text-cancelled, -known, -failed
//   form[data-passkey-conditional]  offers passkeys in the email field's list too
"use strict";
(() => {
  const Key = window.PublicKeyCredential;
  if (!Key || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  const toGet = (json) =>
    Key.parseRequestOptionsFromJSON
      ? Key.parseRequestOptionsFromJSON(json)
      : { ...json, challenge: bytes(json.challenge), allowCredentials: named(json.allowCredentials) };
  const toCreate = (json) =>
    Key.parseCreationOptionsFromJSON
      ? Key.parseCreationOptionsFromJSON(json)
      : {
          ...json,
          challenge: bytes(json.challenge),
          user: { ...json.user, id: bytes(json.user.id) },
          excludeCredentials: named(json.excludeCredentials),
        };

  // Some password managers put a toJSON into the page that throws.
  const toJSON = (credential) => {
    try {
      if (credential.toJSON) return credential.toJSON();
    } catch (_) {
      // by hand, then
    }
    const from = credential.response;
    const response = { clientDataJSON: text(from.clientDataJSON) };
    for (const part of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (from[part]) response[part] = text(from[part]);
    }
    if (from.getTransports) response.transports = from.getTransports();
    const json = { id: credential.id, rawId: text(credential.rawId), type: credential.type, response, clientExtensionResults: {} };
    if (credential.authenticatorAttachment) json.authenticatorAttachment = credential.authenticatorAttachment;
    return json;
  };

  let waiting; // the conditional request: there may be one request at a time

  const ask = (form, create, more) => {
    const json = JSON.parse(form.elements.options.value);
    return create
      ? navigator.credentials.create({ publicKey: toCreate(json), ...more })
      : navigator.credentials.get({ publicKey: toGet(json), ...more });
  };
  const send = (form, credential) => {
    form.elements.response.value = JSON.stringify(toJSON(credential));
    if (form.requestSubmit) form.requestSubmit();
    else form.submit();
  };
  const say = (form, error) => {
    const status = form.querySelector("[data-passkey-status]");
    if (!status) return;
    const words = status.dataset;
    if (!error) status.textContent = "";
    else if (error.name === "InvalidStateError") status.textContent = words.textKnown || words.textFailed || "";
    else if (error.name === "NotAllowedError" || error.name === "AbortError") status.textContent = words.textCancelled || "";
    else status.textContent = words.textFailed || words.textCancelled || "";
  };

  for (const button of document.querySelectorAll("button[data-passkey]")) {
    const form = button.form;
    if (!form || !form.elements.options || !form.elements.options.value) continue;
    const create = button.dataset.passkey === "create";
    const run = async () => {
      if (button.disabled) return;
      button.disabled = true;
      say(form);
      if (waiting) waiting.abort();
      try {
        send(form, await ask(form, create));
        button.disabled = false;
      } catch (error) {
        button.disabled = false;
        button.focus();
        say(form, error);
      }
    };
    for (const none of form.querySelectorAll("[data-passkey-none]")) none.hidden = true;
    button.hidden = false;
    button.addEventListener("click", run);
    // Enter in the name of a new passkey means the button.
    if (create) {
      form.addEventListener(
        "submit",
        (event) => {
          if (form.elements.response.value) return;
          event.preventDefault();
          event.stopImmediatePropagation();
          run();
        },
        true,
      );
    }
  }

  const offer = async (form) => {
    if (!Key.isConditionalMediationAvailable || !(await Key.isConditionalMediationAvailable())) return;
    waiting = new AbortController();
    const mine = waiting;
    try {
      send(form, await ask(form, false, { mediation: "conditional", signal: mine.signal }));
    } catch (_) {
      // The list was closed, or the button was pressed: nothing to say.
    }
  };
  const conditional = document.querySelector("form[data-passkey-conditional]");
  if (conditional && conditional.elements.options && conditional.elements.options.value) offer(conditional);

  // A page that comes back from history must not send an answer again.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("button[data-passkey]")) {
      if (button.form && button.form.elements.response) button.form.elements.response.value = "";
    }
  });
})();
