// What stands behind check_session_iframe (OpenID Connect Session Management
// §3.2): a client's page sends "client_id session_state" and hears whether the
// session in this browser is still the one it signed in with, or whether still
// nobody is signed in.
"use strict";
(() => {
  const name = document.currentScript.dataset.cookie + "=";
  const state = () => {
    const found = document.cookie.split("; ").find((one) => one.startsWith(name));
    return found ? found.slice(name.length) : "";
  };
  const base64url = (bytes) =>
    btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");

  const judge = async (message, origin) => {
    const space = message.lastIndexOf(" ");
    const sent = message.slice(space + 1);
    const salt = sent.slice(sent.indexOf(".") + 1);
    if (space < 1 || salt === sent || salt === "") return "error";
    const now = state();
    const text = [message.slice(0, space), origin, now, salt].join(" ");
    const sum = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
    return base64url(new Uint8Array(sum)) + "." + salt === sent ? "unchanged" : "changed";
  };
  addEventListener("message", async (event) => {
    if (typeof event.data !== "string" || event.origin === "null" || event.source === window || !event.source) return;
    event.source.postMessage(await judge(event.data, event.origin), event.origin);
  });
})();
