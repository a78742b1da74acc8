// Watches where Tab leads. start() notes what must be reached and returns how
// many stops there are; done() returns sentences, none means all is well.
({
  start() {
    const visible = (el) => el.getClientRects().length > 0 && getComputedStyle(el).visibility === "visible";
    const stops = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")].filter((el) => {
      if (el.disabled || el.tabIndex < 0 || !visible(el)) return false;
      if (el.type !== "radio") return true;
      // A group of radio buttons is one stop.
      const group = [...document.getElementsByName(el.name)].filter((each) => each.type === "radio" && each.form === el.form);
      return el === (group.find((each) => each.checked) || group[0]);
    });
    const seen = [];
    const note = (event) => {
      const el = event.target, s = getComputedStyle(el), box = el.getBoundingClientRect();
      seen.push({ el, style: s.outlineStyle, wide: parseFloat(s.outlineWidth), ratio: contrast(s.outlineColor, el), width: box.width, height: box.height });
    };
    const before = document.activeElement, left = scrollX, top = scrollY, index = document.body.getAttribute("tabindex");
    // Tab goes on from where the focus was last: from the top of the page.
    document.body.tabIndex = -1;
    document.body.focus({ preventScroll: true });
    document.addEventListener("focusin", note, true);
    globalThis.uitestWalk = { stops, seen, stop() {
      document.removeEventListener("focusin", note, true);
      if (index === null) document.body.removeAttribute("tabindex");
      if (before && before !== document.body) before.focus({ preventScroll: true });
      else if (document.activeElement) document.activeElement.blur();
      scrollTo({ left, top, behavior: "instant" });
    } };
    // Tab stops at each part of a date, and at its calendar.
    const parts = 3 * stops.filter((el) => el.type === "date").length;
    return { stops: stops.length, parts, frames: [...document.querySelectorAll("iframe")].some(visible) };
  },
  done() {
    const { stops, seen, stop } = globalThis.uitestWalk;
    const name = (el) => (el ? el.tagName.toLowerCase() + (el.id ? "#" + el.id : "") + " " + JSON.stringify((el.getAttribute("aria-label") || el.textContent || el.name || "").trim().slice(0, 40)) : "nothing");
    const problems = [];
    const walked = seen.filter(({ el }) => el !== document.body && el.tagName !== "IFRAME");
    for (let i = 0; i < stops.length; i++) {
      const at = walked[i];
      if (!at || at.el !== stops[i]) {
        problems.push("Tab leads to " + name(at && at.el) + ", want " + name(stops[i]) + " as stop " + (i + 1) + " of " + stops.length);
        break;
      }
      if (at.style === "none" || !(at.wide >= 2)) problems.push("the focus cannot be seen on " + name(at.el) + ": its outline is " + at.wide + " px " + at.style);
      else if (at.ratio < 3) problems.push("the focus cannot be seen on " + name(at.el) + ": its outline has " + at.ratio.toFixed(2) + ":1, want 3:1");
      if (at.width < 20 || at.height < 16) problems.push(name(at.el) + " has the focus and is " + Math.round(at.width) + " by " + Math.round(at.height) + " px");
    }
    const last = walked[stops.length];
    if (last && last.el === stops[stops.length - 1]) problems.push("Tab does not lead on from " + name(last.el));
    stop();
    delete globalThis.uitestWalk;
    return problems;
  },
})
