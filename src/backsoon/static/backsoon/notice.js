/* The banner of planned closures, alive: times are the visitor's own, it can be dismissed, it counts
   down in the last hour, and a page that was left open hears of what is planned, changed or cancelled
   meanwhile, and of the closure itself.

   Without this script the banner stands there as it was sent. Words and addresses come from the
   data-… attributes of the board. Nothing inline and no eval: it runs under a strict
   Content-Security-Policy (script-src and connect-src 'self'). Syntax of 2020. */

(() => {
  "use strict";
  const SECOND = 1e3;
  const MINUTE = 60 * SECOND;
  const HOUR = 60 * MINUTE;
  const USUAL = MINUTE; // between two questions, while a closure is far
  const NEAR = 5 * MINUTE; // before the start: from here on ask more often
  const OFTEN = 20 * SECOND;
  const SPREAD = 8 * SECOND; // over which all open pages ask at the start
  const ROUNDED = SECOND; // times are written in whole seconds, and a site begins later than that
  const LATE = 15 * MINUTE; // before the start: who dismissed the banner sees it again
  const SPOKEN = 5 * MINUTE; // before the start: said to screen readers, once
  const LONGEST = 10 * MINUTE;
  const DISMISSED = "backsoon.notice";
  const HEARD = "backsoon.heard";

  const board = document.querySelector("[data-backsoon-notice]");
  if (!board || board.dataset.ready) return;
  board.dataset.ready = "yes";
  const words = board.dataset;
  const part = (name, within = board) => within.querySelector(`[data-backsoon-${name}]`);
  const items = () => [...board.querySelectorAll("[data-backsoon-item]")];

  // A visitor from Britain reads an English page with 14:40, one from the USA with 2:40 PM.
  const locale = navigator.languages?.find((code) => code.split("-")[0] === board.lang.split("-")[0]) || board.lang;

  let skew = 0; // how far this device's clock is behind the server's
  const now = () => Date.now() + skew;
  const { random } = Math;

  // -- What this browser remembers; without storage nothing is remembered, and nothing fails -------

  const recall = (name) => {
    try {
      return JSON.parse(localStorage.getItem(name)) || {};
    } catch {
      return {};
    }
  };
  const remember = (name, value) => {
    try {
      localStorage.setItem(name, JSON.stringify(value));
    } catch {
      /* full, or blocked */
    }
  };

  const startOf = (item) => (item.dataset.now === undefined ? Date.parse(item.dataset.starts) : NaN);
  const isLate = (item) => startOf(item) - now() <= LATE;

  const dismiss = (item) => {
    const others = Object.entries(recall(DISMISSED)).slice(-20);
    remember(DISMISSED, { ...Object.fromEntries(others), [item.dataset.key]: isLate(item) ? 2 : 1 });
    const hadFocus = item.contains(document.activeElement);
    item.hidden = true;
    if (hadFocus) board.focus({ preventScroll: true });
  };
  const isDismissed = (item) => (recall(DISMISSED)[item.dataset.key] || 0) > (isLate(item) ? 1 : 0);

  // -- Saying it ---------------------------------------------------------------------------------

  const write = (element, text) => {
    // A live region speaks whenever it is written to, so write only what is new.
    if (element && element.textContent !== text) element.textContent = text;
  };
  const speak = (text) => {
    const said = part("said");
    write(said, text);
    setTimeout(() => said.textContent === text && write(said, ""), 10 * SECOND);
  };

  const inWords = (left) => {
    const format = new Intl.RelativeTimeFormat(locale);
    if (left < 2 * MINUTE) return format.format(Math.max(10, Math.ceil(left / SECOND / 10) * 10), "second");
    return format.format(Math.round(left / MINUTE), "minute");
  };

  const putInLocalTime = (item) => {
    const when = part("when", item);
    const times = [...(when?.querySelectorAll("time") || [])];
    if (!times.length) return;
    const moments = times.map((time) => new Date(time.dateTime));
    const year = moments[0].getFullYear() === new Date(now()).getFullYear() ? {} : { year: "numeric" };
    const format = new Intl.DateTimeFormat(locale, {
      weekday: "long", day: "numeric", month: "long", hour: "numeric", minute: "2-digit", ...year,
    });
    const text = moments.length === 2 ? format.formatRange(...moments) : format.format(moments[0]);
    const zone = format.resolvedOptions().timeZone;
    when.title = when.textContent;
    when.textContent = zone ? `${text} (${zone})` : text;
  };

  let spoken = "";
  const tick = () => {
    let soonest = Infinity;
    for (const item of items()) {
      const left = startOf(item) - now();
      const countdown = part("countdown", item);
      item.hidden = isDismissed(item);
      if (Number.isNaN(left)) continue;
      soonest = Math.min(soonest, left);
      if (left > HOUR) write(countdown, "");
      else if (left <= 0) write(countdown, words.closing);
      else write(countdown, (item.dataset.mode === "closed" ? words.closes : words.reads).replace("{in}", inWords(left)));
      if (left > 0 && left <= SPOKEN && spoken !== item.dataset.key) {
        spoken = item.dataset.key;
        speak(countdown.textContent);
      }
    }
    return soonest;
  };

  const greet = () => {
    for (const item of items()) {
      try {
        putInLocalTime(item);
      } catch {
        /* A language or a zone that Intl does not know: the site's words stay. */
      }
      const button = part("dismiss", item);
      if (button) {
        button.hidden = false;
        button.addEventListener("click", () => dismiss(item));
      }
    }
    try {
      tick();
    } catch {
      /* as above */
    }
  };

  // -- Hearing of it -----------------------------------------------------------------------------

  let mode = words.mode;
  let timer;
  let failures = 0;
  let busy = false;
  let lastAsked = Date.now();

  const nextStart = () => Math.min(...items().map(startOf).filter((start) => start > now()), Infinity);

  const pause = () => {
    if (failures) return Math.min(USUAL * 2 ** (failures - 1), LONGEST) * (0.75 + random() / 2);
    const left = nextStart() - now();
    const begun = items().map((item) => now() - startOf(item)).filter((ago) => ago >= 0);
    // Who asked too early at the start, as this device's clock may be ahead, asks again soon.
    const usual = begun.some((ago) => ago < MINUTE) ? SPREAD : left < NEAR || begun.length ? OFTEN : USUAL;
    const wait = usual * (0.75 + random() / 2);
    // At the start everybody wants to know at once: spread that over some seconds.
    return left + ROUNDED < wait ? left + ROUNDED + random() * SPREAD : wait;
  };
  const plan = (wait = pause()) => {
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
  };

  const show = async (key, language) => {
    const address = new URL(words.source, location.href);
    address.search = new URLSearchParams({ language, key });
    const answer = await fetch(address, { credentials: "omit", signal: AbortSignal.timeout?.(10 * SECOND) });
    if (!answer.ok) throw answer;
    const html = await answer.text();
    const fresh = document.createElement("template");
    fresh.innerHTML = trusted(html);
    part("banners").replaceChildren(fresh.content);
    greet();
  };
  // Where a page demands Trusted Types, it has to allow the policy "backsoon".
  let policy;
  const trusted = (html) => {
    policy ??= globalThis.trustedTypes?.createPolicy("backsoon", { createHTML: (text) => text });
    return policy ? policy.createHTML(html) : html;
  };

  const tell = (name) => document.dispatchEvent(new CustomEvent(`backsoon:${name}`));

  const turnTo = (next) => {
    const before = mode;
    mode = words.mode = next;
    if (before === next) return;
    if (next === "closed") {
      part("banners").replaceChildren();
      words.key = "";
      const kept = document.querySelector("form[data-backsoon-draft-kept]") ? ` ${words.kept}` : "";
      write(part("news"), words.closed + kept);
      tell("closed");
    } else if (before === "closed") {
      write(part("news"), words.back);
      tell("open");
    } else if (next === "read_only") {
      write(part("news"), "");
    }
  };

  const understand = async (status) => {
    const { mode: next, notice } = status;
    if (!["open", "read_only", "closed"].includes(next)) throw status;
    turnTo(next);
    if (next === "closed") return;
    const key = notice || "";
    if (notice === undefined || key === words.key) return;
    const wasOpen = items().some((item) => startOf(item) > now());
    if (key) {
      await show(key, board.lang);
      speak(items().filter((item) => !item.hidden).map((item) => part("when", item)?.parentElement.textContent.trim() || item.textContent.trim()).join(" "));
    } else {
      part("banners").replaceChildren();
      if (wasOpen) speak(words.cancelled);
    }
    // What hangs there now: a process that had not heard yet has sent what hung there before.
    words.key = items().map((item) => item.dataset.key).join(".");
  };

  const ask = async () => {
    if (!board.isConnected || busy || document.hidden || !words.status) return;
    busy = true;
    lastAsked = Date.now();
    try {
      const answer = await fetch(words.status, {
        cache: "no-store",
        credentials: "omit",
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout?.(10 * SECOND),
      });
      const date = Date.parse(answer.headers.get("Date")) + (answer.headers.get("Age") || 0) * SECOND - Date.now();
      // Some seconds may be the network.
      skew = Math.abs(date) > 10 * SECOND ? date : 0;
      const status = await answer.json();
      await understand(status);
      remember(HEARD, { key: words.key, at: Date.now() });
      failures = 0;
    } catch {
      failures += 1;
    }
    busy = false;
    try {
      tick();
    } catch {
      /* as above */
    }
    plan();
  };

  const wake = () => {
    if (document.hidden) return;
    tick();
    // A tab that was away for long may have missed everything.
    plan(Date.now() - lastAsked > USUAL ? random() * 2 * SECOND : pause());
  };
  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  addEventListener("pageshow", (event) => event.persisted && wake());

  const beat = () => {
    if (!board.isConnected) return;
    const left = document.hidden ? Infinity : tick();
    setTimeout(beat, left < 2 * MINUTE + 15 * SECOND ? SECOND : 15 * SECOND);
  };

  greet();
  setTimeout(beat, SECOND);
  // The page may come out of a cache: its start has passed, or another page heard otherwise just now.
  const heard = recall(HEARD);
  const isStale =
    items().some((item) => startOf(item) <= now() || Date.parse(item.dataset.ends) <= now()) ||
    (Date.now() - heard.at < LONGEST && heard.key !== words.key);
  plan(isStale ? random() * 3 * SECOND : pause());
})();
