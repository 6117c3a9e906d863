{% comment %}
The page works without this script; with it, times are the visitor's own and the page goes away by
itself when the site opens. No template variable may stand in here: the Content-Security-Policy
knows the script by its hash. Words and addresses come from the data attributes of <body>.
Syntax of 2020; an older browser skips the whole script and keeps the page as it was sent.
{% endcomment %}
(() => {
  "use strict";
  const words = document.body.dataset;
  const byId = (name) => document.getElementById(`backsoon-${name}`);
  {# A live region speaks whenever it is written to, so write only what is new. #}
  const say = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  const image = byId("image");
  const icon = byId("icon");
  {# decode() rejects for an image that failed before this line as well as for one that fails later. #}
  image?.decode().catch(() => {
    image.hidden = true;
    if (icon) icon.hidden = false;
  });

  {# How far this device's clock is behind the server's, in ms; known after the first answer. #}
  let skew = 0;
  const { lang } = document.documentElement;
  {# A visitor from Britain reads an English page with 14:40, one from the USA with 2:40 PM. #}
  const locale = navigator.languages.find((code) => code.split("-")[0] === lang) || lang;
  const expected = byId("expected");
  const time = expected?.querySelector("time");
  const end = Date.parse(time?.dateTime);

  const roughly = (minutes) => {
    const [step, size, unit] =
      minutes < 15 ? [1, 1, "minute"]
      : minutes < 95 ? [5, 1, "minute"]
      : minutes < 2880 ? [1, 60, "hour"]
      : [1, 1440, "day"];
    return new Intl.RelativeTimeFormat(locale)
      .formatToParts(Math.round(minutes / size / step) * step || 1, unit)
      .map(({ type, value }) => (type === "integer" ? words.about.replace("{number}", value) : value))
      .join("");
  };

  const tick = () => {
    const now = Date.now() + skew;
    const over = now >= end;
    expected.hidden = over;
    say(byId("late"), over ? words.late : "");
    if (over) return;
    const today = new Date(end).toDateString() === new Date(now).toDateString();
    const day = today ? {} : { weekday: "long", day: "numeric", month: "long" };
    const format = new Intl.DateTimeFormat(locale, { ...day, hour: "numeric", minute: "2-digit" });
    const [before, after] = words[today ? "at" : "on"].split("{time}");
    const rest = after.replace("{in}", roughly((end - now) / 6e4));
    time.title ||= time.textContent;
    time.textContent = format.format(end);
    expected.replaceChildren(before, time, rest);
  };
  try {
    if (end) {
      tick();
      setInterval(tick, 3e4);
    }
  } catch {
    {# A language that Intl does not know, a translation without {time}: the server's text stays. #}
  }

  const query = new URLSearchParams(location.search);
  {# The answer to the form takes its visitor back to where they were going, as this page does. #}
  const form = byId("form");
  if (form) {
    const target = new URL(form.action);
    for (const [name, value] of query) target.searchParams.set(name, value);
    form.action = target;
  }
  for (const link of document.querySelectorAll("a[hreflang]")) {
    query.set("language", link.hreflang);
    link.href = `?${query}`;
  }

  {# Promise it only where it is true: "" means that there is no address to ask, none at all a preview. #}
  if (words.status !== "") byId("returns")?.removeAttribute("hidden");
  if (!words.status) return;

  {# Not reload(): where this page answered a POST, that would send the form a second time. #}
  const again = () => location.replace(location.pathname + location.search);
  let { revision } = words;
  let failures = 0;
  let notBefore = 0;
  let busy = false;
  let timer;
  const plan = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(ask, ms);
  };
  {# Waits are scattered by 30 %, so that a crowd of visitors does not ask in step. #}
  const usual = () => Math.min(2e4 * 2 ** failures, 12e4) * (0.7 + Math.random() * 0.6);
  const ask = async () => {
    if (busy || document.hidden) return;
    busy = true;
    let pause = 0;
    try {
      const answer = await fetch(words.status, {
        cache: "no-store",
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout?.(1e4),
      });
      const date = Date.parse(answer.headers.get("Date")) - Date.now();
      {# Less than a minute may be the network. #}
      skew = Math.abs(date) > 6e4 ? date : 0;
      if (!answer.ok) {
        const after = answer.headers.get("Retry-After");
        pause = (after > 0 ? after * 1e3 : Date.parse(after) - Date.now()) || 0;
      }
      const state = await answer.json();
      if (state.mode === "open" || state.mode === "read_only") {
        words.mode = "open";
        say(byId("back"), words.back);
        setTimeout(again, 1e3);
        return;
      }
      if (state.mode !== words.mode) throw state;
      const latest = String(state.revision ?? revision);
      {# Nobody shall lose what they are typing, nor the answer to what they have sent. #}
      if ((revision ??= latest) !== latest && revision && !byId("email")?.value) return again();
      failures = 0;
    } catch {
      failures += 1;
    }
    busy = false;
    {# Ten minutes at most, so that an early opening is noticed; five seconds at least between two. #}
    pause = Math.min(pause, 6e5);
    notBefore = Date.now() + Math.max(pause, 5e3);
    plan(Math.max(usual(), pause));
  };
  const wake = () => {
    if (!document.hidden) plan(Math.max(0, notBefore - Date.now()));
  };
  document.addEventListener("visibilitychange", wake);
  addEventListener("online", wake);
  plan(usual());
})();
