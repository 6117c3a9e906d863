/* The live banner of the order pages: "closes in 5 minutes", "closed", "we are back".

   The server tells what is true over a WebSocket. When the site closes it ends the connection with
   the code 1012; then this page comes again from time to time, at random, so that not everybody
   comes at once. Where there are no WebSockets, one attempt fails and nothing else happens. */

"use strict";

(() => {
  const SERVICE_RESTART = 1012;
  const LONGEST_WAIT = 60;
  const SHOWN_AGAIN = 15;

  const banner = document.querySelector(".live");
  if (!banner || !("WebSocket" in window)) {
    return;
  }

  let hasBeenOpen = false;
  let wasAway = false;
  let wasPutOut = false; // and not let in all the same: then logins may have ended
  let failures = 0;
  let closesAt = null; // by the clock of this machine, in milliseconds
  let leaving = false;

  function say(text, kind) {
    if (banner.textContent !== text) {
      banner.textContent = text;
    }
    banner.dataset.kind = kind;
  }

  function inWords(milliseconds) {
    const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" });
    const minutes = Math.max(0, milliseconds) / 60000;
    if (minutes < 1) {
      return words.format(Math.ceil(minutes * 6) * 10, "second");
    }
    return minutes < 90
      ? words.format(Math.round(minutes), "minute")
      : words.format(Math.round(minutes / 60), "hour");
  }

  function sayWhenItCloses() {
    if (closesAt !== null) {
      say(banner.dataset.closing.replace("{when}", inWords(closesAt - Date.now())), "closing");
    }
  }

  function understand(news) {
    closesAt = news.closes_at
      ? Date.now() + Date.parse(news.closes_at) - Date.parse(news.now)
      : null;
    if (news.mode === "closed") {
      say(banner.dataset.letIn, "closed");
      wasAway = true;
    } else if (news.mode === "read_only") {
      say(banner.dataset.readOnly, "closing");
      wasAway = true;
    } else if (closesAt !== null) {
      sayWhenItCloses();
      wasAway = false;
      wasPutOut = false;
    } else if (wasAway) {
      say(wasPutOut ? banner.dataset.backAgain : banner.dataset.back, "back");
    } else {
      say("", "");
    }
  }

  function ended(event) {
    if (leaving || !hasBeenOpen) {
      return; // nobody is there to read it, or this server has no WebSockets
    }
    closesAt = null;
    failures += 1;
    if (event.code === SERVICE_RESTART) {
      wasAway = true;
      wasPutOut = true;
      failures = 1;
      say(banner.dataset.closed, "closed");
    }
    // Five to fifteen seconds at first, then rarer.
    const wait = Math.min(LONGEST_WAIT, 5 * failures) + 10 * Math.random();
    setTimeout(connect, 1000 * wait);
  }

  function connect() {
    const address = new URL(banner.dataset.path, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(address);
    socket.addEventListener("open", () => {
      hasBeenOpen = true;
      failures = 0;
    });
    socket.addEventListener("message", (event) => understand(JSON.parse(event.data)));
    socket.addEventListener("close", ended);
  }

  addEventListener("pagehide", () => {
    leaving = true;
  });
  // A page that the browser took out of its memory has lost its connection.
  addEventListener("pageshow", (event) => {
    if (event.persisted && hasBeenOpen) {
      leaving = false;
      connect();
    }
  });
  setInterval(sayWhenItCloses, 1000 * SHOWN_AGAIN);
  connect();
})();
