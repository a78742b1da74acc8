// Checks that axe does not make. Returns sentences; none means all is well.
((want) => {
  const problems = [];
  const say = (...words) => problems.push(words.join(" "));
  const name = (el) =>
    el.tagName.toLowerCase() + (el.id ? "#" + el.id : "") + (el.name ? "[name=" + el.name + "]" : "");
  const visible = (el) => el.getClientRects().length > 0 && getComputedStyle(el).visibility === "visible";

  for (const tag of ["main", "h1"]) {
    const n = document.querySelectorAll(tag).length;
    if (n !== 1) say(n, tag, "elements, want exactly one");
  }
  if (document.documentElement.lang !== want.lang) say("the page says its language is", JSON.stringify(document.documentElement.lang) + ", want", want.lang);
  if (!document.title.trim()) say("no title");

  // References must lead somewhere, and an id names one element.
  for (const attribute of ["aria-describedby", "aria-labelledby", "aria-controls", "aria-errormessage", "for", "headers", "list"]) {
    for (const el of document.querySelectorAll("[" + attribute + "]")) {
      for (const id of el.getAttribute(attribute).split(/\s+/).filter(Boolean)) {
        if (!document.getElementById(id)) say(name(el), attribute, "names #" + id + ", which is not on the page");
      }
    }
  }
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    const id = link.getAttribute("href").slice(1);
    if (id && !document.getElementById(id)) say("the link", JSON.stringify(link.textContent.trim()), "leads to #" + id + ", which is not on the page");
  }
  const seen = new Set();
  for (const el of document.querySelectorAll("[id]")) {
    if (seen.has(el.id)) say("id", el.id, "is on the page twice");
    seen.add(el.id);
  }

  // A field in error says so in words that belong to it.
  for (const el of document.querySelectorAll("[aria-invalid=true]")) {
    const ids = (el.getAttribute("aria-describedby") || "").split(/\s+/);
    const err = (el.type === "radio" ? el.name : el.id) + "-err"; // a group has one
    if (!ids.includes(err)) say(name(el), "is invalid and not described by", err);
  }
  const summary = document.querySelector("main [role=alert]");
  if (summary && !/^Error: /.test(document.title)) say("the page shows problems and its title does not start with Error:", document.title);
  if (!summary && /^Error: /.test(document.title)) say("the title says Error: and the page shows no summary");
  if (summary && (document.querySelector("h1").compareDocumentPosition(summary) & Node.DOCUMENT_POSITION_FOLLOWING)) say("the summary is below the h1");

  // Fields: no placeholder, required, autofocus, or limit on passwords.
  for (const el of document.querySelectorAll("input, select, textarea")) {
    for (const attribute of ["placeholder", "required", "autofocus"]) {
      if (el.hasAttribute(attribute)) say(name(el), "has", attribute);
    }
    if (el.type === "password") {
      if (el.hasAttribute("maxlength")) say(name(el), "limits the length of a password");
      if (el.getAttribute("value")) say(name(el), "comes with a password in it");
      if (!el.autocomplete) say(name(el), "has no autocomplete");
    }
  }
  for (const form of document.querySelectorAll("form[method=post]")) {
    if (!form.noValidate && form.querySelector("input:not([type=hidden])")) say("a form lets the browser validate instead of us");
  }
  for (const el of document.querySelectorAll("main *, main")) {
    if (el.hasAttribute("style")) say(name(el), "has an inline style");
  }

  // Text that a machine forgot to fill in.
  const text = document.body.innerText;
  for (const word of [/\{[a-z_]+\}/, /%![a-zA-Z(]/, /<no value>/, /<nil>/, /\bundefined\b/, /\bNaN\b/, /&(amp|lt|gt|quot|#\d+);/, /\b0001\b/]) {
    const hit = (text + " " + document.title).match(word);
    if (hit) say("the page says", JSON.stringify(hit[0]));
  }
  const words = new Set(text.split(/[\s:;,()“”"«»¿?¡!]+/));
  for (const key of want.keys) if (words.has(key)) say("the page shows the key", key, "instead of its text");

  // Borders of fields, 3:1 against what is around them (WCAG 1.4.11).
  for (const el of document.querySelectorAll("input:not([type=hidden]):not([type=radio]):not([type=checkbox]), select, textarea")) {
    if (!visible(el)) continue;
    const ratio = contrast(getComputedStyle(el).borderTopColor, el);
    if (ratio < 3) say(name(el), "has a border of", ratio.toFixed(2) + ":1, want 3:1");
  }

  // Buttons and fields are big enough for a thumb.
  for (const el of document.querySelectorAll("button, a.btn, input:not([type=hidden]):not([type=radio]):not([type=checkbox]), select")) {
    if (!visible(el)) continue;
    const box = el.getBoundingClientRect();
    if (Math.round(box.height) < 44) say(name(el), JSON.stringify(el.textContent.trim()), "is", Math.round(box.height), "px high, want 44");
  }
  return problems;
})
