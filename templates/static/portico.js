// Everything works without this script. It adds: Show for passwords, focus on
// the error summary, one submission per click, no password left behind.
"use strict";
(() => {
  const fields = (button) =>
    button.getAttribute("aria-controls").split(" ").map((id) => document.getElementById(id)).filter(Boolean);

  const show = (button, shown, quiet) => {
    const text = button.dataset;
    for (const field of fields(button)) field.type = shown ? "text" : "password";
    button.textContent = shown ? text.textHide : text.textShow;
    button.setAttribute("aria-label", shown ? text.labelHide : text.labelShow);
    const status = button.closest(".field").querySelector("[role=status]");
    if (status && !quiet) status.textContent = shown ? text.saidShown : text.saidHidden;
  };
  const showers = document.querySelectorAll("button[data-show]");
  for (const button of showers) {
    button.hidden = false;
    button.addEventListener("click", () => show(button, fields(button)[0].type === "password"));
  }

  const summary = document.getElementById("summary");
  if (summary) {
    summary.focus();
    // A form that was sent from behind the skip link carries its fragment, and
    // the browser moves the focus there once the page has loaded.
    if (location.hash) addEventListener("load", () => setTimeout(() => summary.focus()));
  }
  // A link of the summary leads into the field, not only to it.
  for (const link of document.querySelectorAll("#summary a")) {
    link.addEventListener("click", (event) => {
      const field = document.getElementById(link.hash.slice(1));
      if (!field) return;
      event.preventDefault();
      field.scrollIntoView({ block: "center" });
      field.focus();
    });
  }

  for (const form of document.querySelectorAll("form")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "yes";
      // Password managers save what is submitted as a password.
      for (const button of showers) if (form.contains(button)) show(button, false, true);
      // If no answer comes, the button must not stay dead.
      setTimeout(() => delete form.dataset.sent, 10000);
    });
  }

  // Once every frame of the page has loaded, go on. (A header does so later.)
  const onward = document.querySelector("a[data-onward]");
  if (onward) addEventListener("load", () => location.replace(onward.href));

  addEventListener("pagehide", () => {
    for (const button of showers) show(button, false, true);
    for (const field of document.querySelectorAll("input[type=password]")) field.value = "";
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form")) delete form.dataset.sent;
  });
})();
