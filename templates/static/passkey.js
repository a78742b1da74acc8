// Passkeys (WebAuthn), without async functions and spread objects: there are
// browsers for tests that stop at them. A button data-passkey="get" or "create" stands in a form
// with the hidden inputs "options" (what the server asks) and "response" (what
// the passkey answers). Without this script the button stays hidden.
//
//   [data-passkey-none]         inside the form: said where passkeys do not work
//   [data-passkey-status]       inside the form: says what went wrong, in the
//                               words of its data-text-cancelled, -known, -failed
//   form[data-passkey-conditional]  offers passkeys in the email field's list too
//
// What the server asks is worth five minutes. A page that has been open for
// longer asks again, by reading itself once more, when the button is pressed;
// one that offers passkeys in the list does so before the time is over, as long
// as somebody can see it. Other pages do not: that would look as if the person
// were still there.
"use strict";
(() => {
  const Key = window.PublicKeyCredential;
  if (!Key || !navigator.credentials) return;

  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode.apply(null, new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => Object.assign({}, one, { id: bytes(one.id) }));

  const toGet = (json) =>
    Key.parseRequestOptionsFromJSON
      ? Key.parseRequestOptionsFromJSON(json)
      : Object.assign({}, json, { challenge: bytes(json.challenge), allowCredentials: named(json.allowCredentials) });
  const toCreate = (json) =>
    Key.parseCreationOptionsFromJSON
      ? Key.parseCreationOptionsFromJSON(json)
      : Object.assign({}, json, {
          challenge: bytes(json.challenge),
          user: Object.assign({}, json.user, { id: bytes(json.user.id) }),
          excludeCredentials: named(json.excludeCredentials),
        });

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
  let renewing; // the page that is being read again
  let madeAt = performance.timeOrigin; // the options, at the earliest

  const spare = 30000;
  const left = (form) => madeAt + (JSON.parse(form.elements.options.value).timeout || 300000) - Date.now();

  // Whether there are fresh options now. Where the page leads elsewhere by now,
  // or no answer comes, the old ones stay.
  const renew = (form) => {
    if (renewing) return renewing;
    const at = Date.now();
    const here = new URL(location.href);
    here.searchParams.delete("lang"); // that was a click, and is remembered as one
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), 10000);
    const over = (renewed) => {
      clearTimeout(timer);
      renewing = null;
      return renewed;
    };
    renewing = fetch(here.href, { cache: "no-store", redirect: "error", signal: patience.signal })
      .then((answer) => (answer.ok ? answer.text() : ""))
      .then((page) => {
        const fresh = new DOMParser().parseFromString(page, "text/html").querySelector("form input[name=options]");
        if (!fresh || !fresh.value) return false;
        form.elements.options.value = fresh.value;
        madeAt = at;
        return true;
      })
      .then(over, () => over(false));
    return renewing;
  };

  const ask = (form, create, more) => {
    const json = JSON.parse(form.elements.options.value);
    return create
      ? navigator.credentials.create(Object.assign({ publicKey: toCreate(json) }, more))
      : navigator.credentials.get(Object.assign({ publicKey: toGet(json) }, more));
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
    const run = () => {
      if (button.disabled) return;
      button.disabled = true;
      say(form);
      if (waiting) waiting.abort();
      waiting = null;
      let asked; // at once: the click has to be what asks
      try {
        asked = left(form) < spare ? renew(form).then(() => ask(form, create)) : ask(form, create);
      } catch (error) {
        asked = Promise.reject(error);
      }
      asked
        .then((credential) => {
          send(form, credential);
          button.disabled = false;
        })
        .catch((error) => {
          button.disabled = false;
          button.focus();
          say(form, error);
        });
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

  // The list asks with the options that are fresh, until the button is pressed.
  const offer = (form) => {
    const mine = new AbortController();
    waiting = mine;
    const timer = setTimeout(() => {
      mine.abort();
      whenSeen(() => renew(form).then((renewed) => renewed && waiting === mine && offer(form)));
    }, Math.max(left(form) - spare, 0));
    ask(form, false, { mediation: "conditional", signal: mine.signal })
      .then((credential) => {
        clearTimeout(timer);
        // After the computer has slept the answer may be too old.
        return left(form) > 0 ? credential : renew(form).then(() => ask(form, false));
      })
      .then((credential) => send(form, credential))
      .catch(() => {}); // the list was closed, or the button was pressed: nothing to say
  };
  const whenSeen = (go) =>
    document.hidden ? document.addEventListener("visibilitychange", go, { once: true }) : go();
  const conditional = document.querySelector("form[data-passkey-conditional]");
  if (conditional && conditional.elements.options && conditional.elements.options.value && Key.isConditionalMediationAvailable) {
    Key.isConditionalMediationAvailable()
      .then((available) => available && offer(conditional))
      .catch(() => {});
  }

  // A page that comes back from history must not send an answer again.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("button[data-passkey]")) {
      if (button.form && button.form.elements.response) button.form.elements.response.value = "";
    }
  });
})();
