/* The dialog before the switch, the character count and the warning before typed text is lost.
   Everything works without this file: the buttons lead to a page that asks the same question. */
"use strict";

{
  const REQUEST_SECONDS = 30;

  /* ---- The dialog ---- */

  const setUpDialog = (form) => {
    const dialog = document.getElementById(form.dataset.backsoonAsks);
    if (!dialog || typeof dialog.showModal !== "function") {
      return;
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      say(dialog, { error: "", status: "" });
      dialog.showModal();
    });
    if (dialog.hasAttribute("data-ready")) {
      return; // two buttons of a page may ask the same question
    }
    dialog.setAttribute("data-ready", "");
    for (const button of dialog.querySelectorAll("[data-backsoon-confirm]")) {
      button.addEventListener("click", () => {
        carryOut(dialog, button);
      });
    }
    // While the request is under way, Escape would hide what comes of it.
    dialog.addEventListener("cancel", (event) => {
      if (dialog.hasAttribute("aria-busy")) {
        event.preventDefault();
      }
    });
  };

  const say = (dialog, { error, status }) => {
    dialog.querySelector(".backsoon-dialog-error").textContent = error;
    dialog.querySelector(".backsoon-dialog-status").textContent = status;
  };

  const setBusy = (dialog, busy) => {
    dialog.toggleAttribute("aria-busy", busy);
    if (busy) {
      dialog.setAttribute("aria-busy", "true");
    }
    for (const button of dialog.querySelectorAll("button")) {
      button.disabled = busy;
    }
  };

  const carryOut = async (dialog, button) => {
    setBusy(dialog, true);
    say(dialog, { error: "", status: dialog.dataset.working });
    const error = await send(dialog);
    if (!error) {
      if (button.dataset.next) {
        location.assign(button.dataset.next);
      } else {
        location.reload();
      }
      return;
    }
    setBusy(dialog, false);
    say(dialog, { error, status: "" });
    button.focus();
  };

  /* Sends the request; the answer is a sentence about what went wrong, or "". */
  const send = async (dialog) => {
    const { url, enable, epoch, header } = dialog.dataset;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), REQUEST_SECONDS * 1000);
    try {
      const response = await fetch(url, {
        method: "POST",
        credentials: "same-origin",
        signal: abort.signal,
        headers: {
          Accept: "application/json",
          "Content-Type": "application/json",
          "X-Requested-With": "XMLHttpRequest",
          [header]: dialog.querySelector("[name=csrfmiddlewaretoken]").value,
        },
        // With the number of the switch that this page shows: never a colleague's later one.
        body: JSON.stringify({ enabled: enable === "true", epoch: Number(epoch) }),
      });
      const answer = await readJson(response);
      if (response.ok && answer.success) {
        return "";
      }
      // Of a conflict the dialog knows more than the server: that its page is outdated.
      const conflict = response.status === 409 && !answer.checks;
      const message = conflict ? "" : answer.message;
      // Opening though checks failed is asked for on a page of its own.
      const anyway = dialog.querySelector("[data-backsoon-anyway]");
      if (anyway) {
        anyway.hidden = !answer.checks;
      }
      return message || explain(dialog, response.status);
    } catch {
      return dialog.dataset.unreachable;
    } finally {
      clearTimeout(timer);
    }
  };

  const readJson = async (response) => {
    try {
      return (await response.json()) || {};
    } catch {
      return {};
    }
  };

  const explain = (dialog, status) => {
    const texts = { 403: "denied", 409: "conflict", 503: "unavailable" };
    return dialog.dataset[texts[status] || "failed"];
  };

  /* ---- Waiting until all is quiet ---- */

  const LOOK_SECONDS = 5;

  /* The bars of this page tell of a closure that is over, and offer to end it. */
  const hideStaleBars = () => {
    for (const bar of document.querySelectorAll(".backsoon-bar")) {
      const open = bar.querySelector("dialog[open]");
      if (open) {
        // It lies in the bar, and what it says of a request must be read.
        open.addEventListener("close", () => {
          bar.hidden = true;
        });
      } else {
        bar.hidden = true;
      }
    }
  };

  const setUpProgress = (place) => {
    const headline = place.querySelector("[data-backsoon-headline]");
    const said = place.querySelector("[data-backsoon-said]");
    const workers = place.querySelector("[data-backsoon-workers]");
    const again = place.querySelector("[data-backsoon-again]");
    const reopen = place.querySelector("[data-backsoon-asks]");
    let timer = 0;
    let looking = false;
    let isStale = false;
    let shown = workers.innerHTML;

    const announce = (text) => {
      if (said.textContent !== text && headline.textContent !== text) {
        said.textContent = text;
      }
    };

    const show = ({ verdict, headline: text, html, closed = true }) => {
      // Those who hear the page are told what is new, not that another second has passed.
      if (verdict !== place.dataset.verdict || verdict === "waiting") {
        announce(text);
      }
      place.dataset.verdict = verdict;
      const over = verdict === "quiet" || verdict === "overtaken";
      again.textContent = over ? again.dataset.look : again.dataset.wait;
      if (verdict === "overtaken" && !isStale) {
        isStale = true;
        hideStaleBars();
      }
      if (reopen) {
        reopen.hidden = isStale || !closed;
      }
      headline.textContent = text;
      showBelow(html);
    };

    /* Without *html* the sentence for what is not known. */
    const showBelow = (html) => {
      if (html === shown) {
        return;
      }
      shown = html;
      // What stands below may not jump while somebody reads it.
      workers.style.minHeight = `${workers.offsetHeight}px`;
      if (html === undefined) {
        const doubt = document.createElement("p");
        doubt.textContent = place.dataset.doubt;
        workers.replaceChildren(doubt);
      } else {
        workers.innerHTML = html;
      }
    };

    /* Which text says why nothing is known. */
    const excuse = (status, answer) => {
      // Who was logged out while the site is closed meets the closure itself.
      if (status === 403 || answer.maintenance) {
        return "refused";
      }
      return status === 503 || Object.keys(answer).length ? "unavailable" : "unreachable";
    };

    const look = async () => {
      if (looking) {
        return;
      }
      looking = true;
      clearTimeout(timer);
      const abort = new AbortController();
      const limit = setTimeout(() => abort.abort(), LOOK_SECONDS * 1000);
      try {
        const response = await fetch(place.dataset.url, {
          credentials: "same-origin",
          headers: { Accept: "application/json" },
          signal: abort.signal,
        });
        const answer = await readJson(response);
        if (response.ok && answer.verdict) {
          show(answer);
        } else {
          const headline = place.dataset[excuse(response.status, answer)];
          show({ verdict: "unknown", headline });
        }
      } catch {
        // What was true a moment ago may not be true any more.
        show({ verdict: "unknown", headline: place.dataset.unreachable });
      } finally {
        clearTimeout(limit);
        looking = false;
        if (place.dataset.verdict !== "overtaken") {
          timer = setTimeout(look, 1000);
        }
      }
    };

    if (place.dataset.verdict === "overtaken") {
      return; // the link leads to what is true now
    }
    again.addEventListener("click", (event) => {
      if (place.dataset.verdict === "overtaken") {
        again.search = "";
      } else {
        event.preventDefault();
        look();
      }
    });
    addEventListener("pageshow", (event) => {
      if (event.persisted) {
        look();
      }
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) {
        look();
      }
    });
    timer = setTimeout(look, 1000);
  };

  /* ---- The form ---- */

  const setUpForm = (form) => {
    let dirty = form.hasAttribute("data-dirty");
    form.addEventListener("input", () => {
      dirty = true;
    });
    form.addEventListener("submit", (event) => {
      const elsewhere = event.submitter && event.submitter.formTarget === "_blank";
      if (!elsewhere) {
        dirty = false;
      }
    });
    addEventListener("beforeunload", (event) => {
      if (dirty) {
        event.preventDefault();
      }
    });
  };

  /* ---- What was sent and not saved ---- */

  /* A session that ended meanwhile leads to the login page, and what was sent would be gone. So it
     is kept in this tab until the server says that it is stored. */
  const DRAFT = "backsoon-draft";

  const typedIn = (form) =>
    [...form.elements].filter(
      (field) => field.name && field.type !== "hidden" && field.type !== "submit",
    );

  const keepDraft = (form) => {
    const values = typedIn(form).map((field) => [
      field.name,
      field.type === "checkbox" ? field.checked : field.value,
    ]);
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify(values));
    } catch {
      // Storage may be full or forbidden; the form is sent all the same.
    }
  };

  const takeDraft = () => {
    try {
      const draft = JSON.parse(sessionStorage.getItem(DRAFT));
      sessionStorage.removeItem(DRAFT);
      return Array.isArray(draft) ? draft : [];
    } catch {
      return [];
    }
  };

  const setUpDraft = (form, offer) => {
    form.addEventListener("submit", (event) => {
      if (!event.submitter || event.submitter.formTarget !== "_blank") {
        keepDraft(form);
      }
    });
    // A page that came back with errors or notes shows everything that was typed by itself.
    const draft = takeDraft();
    if (form.hasAttribute("data-dirty") || document.querySelector(".backsoon-saved")) {
      return;
    }
    const fields = new Map(typedIn(form).map((field) => [field.name, field]));
    const lost = draft.filter(([name, value]) => {
      const field = fields.get(name);
      return field && value !== (field.type === "checkbox" ? field.checked : field.value);
    });
    if (!lost.length) {
      return;
    }
    offer.hidden = false;
    offer.querySelector("button").addEventListener("click", () => {
      for (const [name, value] of lost) {
        const field = fields.get(name);
        field[field.type === "checkbox" ? "checked" : "value"] = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
        const folded = field.closest("details");
        if (folded) {
          folded.open = true;
        }
      }
      offer.hidden = true;
      fields.get(lost[0][0]).focus();
    });
  };

  /* ---- Characters ---- */

  const setUpCount = (place) => {
    const field = document.getElementById(place.id.replace(/_count$/, ""));
    if (!field) {
      return;
    }
    const limit = Number(place.dataset.limit);
    const number = new Intl.NumberFormat(document.documentElement.lang || undefined);
    const show = () => {
      // As the server counts: characters, not the halves that some are made of.
      const count = [...field.value.trim()].length;
      const over = count > limit;
      place.dataset.state = over ? "over" : "";
      place.textContent = (over ? place.dataset.over : place.dataset.text)
        .replace("{count}", number.format(count))
        .replace("{limit}", number.format(limit));
    };
    field.addEventListener("input", show);
    show();
  };

  for (const form of document.querySelectorAll("[data-backsoon-asks]")) {
    setUpDialog(form);
  }
  for (const form of document.querySelectorAll("[data-backsoon-form]")) {
    setUpForm(form);
  }
  for (const place of document.querySelectorAll("[data-backsoon-progress]")) {
    setUpProgress(place);
  }
  const offer = document.querySelector("[data-backsoon-draft]");
  if (offer) {
    setUpDraft(document.querySelector("[data-backsoon-form]"), offer);
  }
  for (const place of document.querySelectorAll(".backsoon-count[data-limit]")) {
    setUpCount(place);
  }
  const problems = document.getElementById("backsoon-problems");
  if (problems) {
    problems.focus();
  }
}
