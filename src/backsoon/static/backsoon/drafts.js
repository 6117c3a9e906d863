/* A form that is being filled in when the site closes is not lost: what is typed into forms marked
   with data-backsoon-draft stays in this browser, and is put back after the return.

   Nothing of it is sent anywhere. Never kept: passwords, hidden fields, files, payment cards, one-time
   codes, and whatever is marked with data-backsoon-no-draft. A draft is known by the user, the path
   and the form; it is forgotten when it was sent, discarded, or a day old. It is put back only when
   the site was closed since the page was loaded: the page's element says when it was.

   Storage that is full or blocked turns this off, silently. Syntax of 2020; no inline code. */

(() => {
  "use strict";
  const DAY = 24 * 3600e3;
  const TOLERANCE = 5e3; // of "sent when it closed": answers take their time, and so do clocks
  const DELAY = 400; // after the last key
  const LONGEST = 200_000; // characters of one draft
  const PREFIX = "backsoon.draft:";
  const NEVER = ["password", "hidden", "file", "submit", "button", "image", "reset"];

  const page = document.querySelector("[data-backsoon-drafts]");
  if (!page || page.dataset.ready) return;
  page.dataset.ready = "yes";
  const { user, note, sent, discard } = page.dataset;
  const [loadedAt, began, ended, logins] = ["now", "began", "ended", "logins"].map((name) => Number(page.dataset[name]));
  const skew = loadedAt - Date.now();
  const serverNow = () => Date.now() + skew;

  let storage;
  try {
    storage = page.dataset.storage === "browser" ? localStorage : sessionStorage;
    storage.setItem(`${PREFIX}?`, "");
    storage.removeItem(`${PREFIX}?`);
  } catch {
    return;
  }

  const read = (key) => {
    try {
      const draft = JSON.parse(storage.getItem(key));
      return Array.isArray(draft?.fields) && Date.now() - draft.at < DAY ? draft : null;
    } catch {
      return null;
    }
  };
  const write = (key, draft) => {
    const text = JSON.stringify(draft);
    try {
      if (text.length > LONGEST) storage.removeItem(key);
      else storage.setItem(key, text);
      return text.length <= LONGEST;
    } catch {
      return false;
    }
  };

  // What is too old goes, and what somebody else typed who was logged in here.
  for (const key of Object.keys(storage).filter((name) => name.startsWith(PREFIX))) {
    const [owner] = key.slice(PREFIX.length).split(":");
    if (!read(key) || (user && owner && owner !== user)) storage.removeItem(key);
  }

  // -- What is in a form -------------------------------------------------------------------------

  const mayKeep = (field) =>
    field.name &&
    field.matches("input, select, textarea") &&
    !NEVER.includes(field.type) &&
    field.name !== "csrfmiddlewaretoken" &&
    !/(^|\s)(cc-|one-time-code|current-password|new-password)/.test(field.autocomplete || "") &&
    !field.closest("[data-backsoon-no-draft]");
  const isChoice = (field) => field.type === "checkbox" || field.type === "radio";

  /* Each field with what tells it from the others: its name, and its value or its number. */
  const fieldsOf = (form) => {
    const seen = {};
    return [...form.elements].filter(mayKeep).map((field) => {
      const name = isChoice(field) ? `${field.name}=${field.value}` : field.name;
      seen[name] = (seen[name] || 0) + 1;
      return [`${name}#${seen[name]}`, field];
    });
  };
  const valueOf = (field) =>
    isChoice(field) ? field.checked
    : field.multiple && field.options ? [...field.selectedOptions].map((option) => option.value)
    : field.value;
  const isUntouched = (field) =>
    isChoice(field) ? field.checked === field.defaultChecked
    : field.options ? !hasOtherChoice(field)
    : field.value === field.defaultValue;
  const hasOtherChoice = (field) => {
    const options = [...field.options];
    // Where nothing is marked as chosen, a simple list begins with its first option.
    if (!field.multiple && !options.some((option) => option.defaultSelected)) return field.selectedIndex > 0;
    return options.some((option) => option.selected !== option.defaultSelected);
  };
  const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  const announce = (field) => {
    for (const type of ["input", "change"]) field.dispatchEvent(new Event(type, { bubbles: true }));
  };
  const fill = (field, value) => {
    if (isSame(valueOf(field), value)) return;
    if (isChoice(field)) field.checked = value === true;
    else if (Array.isArray(value)) for (const option of field.options || []) option.selected = value.includes(option.value);
    else if (field.options && ![...field.options].some((option) => option.value === value)) return; // no longer offered
    else field.value = value;
    announce(field);
  };

  // -- One form ----------------------------------------------------------------------------------

  const begin = (form, number) => {
    if (form.dataset.backsoonDraftKept !== undefined) return;
    const name = form.dataset.backsoonDraft || form.id || form.getAttribute("name") || number;
    const key = `${PREFIX}${user}:${location.pathname}:${name}`;
    let kept = false; // whether it holds what was put back
    let timer;

    const save = (more = {}) => {
      clearTimeout(timer);
      const fields = fieldsOf(form);
      if (!more.sent && !kept && fields.every(([, field]) => isUntouched(field))) {
        storage.removeItem(key);
        return;
      }
      const values = fields.map(([id, field]) => [id, valueOf(field)]);
      const is_kept = write(key, { at: Date.now(), loaded: loadedAt, kept, fields: values, ...more });
      form.toggleAttribute("data-backsoon-draft-kept", is_kept);
    };
    const forget = () => {
      clearTimeout(timer);
      kept = false;
      storage.removeItem(key);
    };
    const hide = () => form.previousElementSibling?.matches(".backsoon-draft-note") && form.previousElementSibling.remove();

    const show = (wasSent) => {
      hide();
      const box = document.createElement("div");
      const text = document.createElement("p");
      const button = document.createElement("button");
      box.className = "backsoon-draft-note";
      [box.lang, box.dir] = [page.lang, page.dir];
      text.setAttribute("role", "status");
      button.type = "button";
      button.textContent = discard;
      button.addEventListener("click", () => {
        form.reset();
        forget();
        hide();
        fieldsOf(form).find(([, field]) => !field.disabled)?.[1].focus();
      });
      box.append(text, button);
      form.before(box);
      // A live region speaks of what comes into it once it is there.
      setTimeout(() => (text.textContent = wasSent ? `${note} ${sent}` : note), 100);
    };

    const putBack = (draft) => {
      const missing = new Map(draft.fields);
      const fillWhatIsThere = () => {
        for (const [id, field] of fieldsOf(form)) {
          if (!missing.has(id)) continue;
          const value = missing.get(id);
          missing.delete(id);
          fill(field, value);
        }
      };
      fillWhatIsThere();
      // Fields that a script of the page adds in the first seconds, as rows of a formset.
      const observer = new MutationObserver(fillWhatIsThere);
      observer.observe(form, { childList: true, subtree: true });
      setTimeout(() => observer.disconnect(), 10e3);
    };

    const draft = read(key);
    storage.removeItem(key);
    if (draft && (draft.kept && !draft.sent || wasLost(draft))) {
      putBack(draft);
      kept = true;
      save();
      show(Boolean(draft.sent));
    } else {
      save(); // a browser that reloads a page may have put its fields back itself
    }

    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(save, DELAY);
    };
    form.addEventListener("input", soon);
    form.addEventListener("change", soon);
    form.addEventListener("reset", () => {
      kept = false;
      hide();
      setTimeout(() => {
        for (const [, field] of fieldsOf(form)) announce(field);
        save();
      });
    });
    form.addEventListener("backsoon:sent", forget);
    // On the window: after every handler of the page, which may send the form its own way.
    addEventListener("submit", (event) => {
      if (event.target === form && !event.defaultPrevented) save({ sent: serverNow() });
    });
    const flush = () => {
      const known = read(key);
      if (!known?.sent) save();
    };
    addEventListener("pagehide", flush);
    document.addEventListener("visibilitychange", () => document.hidden && flush());
    document.addEventListener("backsoon:closed", flush);
  };

  /* Whether the site was closed in the way of it. `loaded` and `sent` are moments of the server. */
  const wasLost = ({ loaded, sent: at }) => {
    if (!at) return began > loaded || ended > loaded;
    // Its login had ended: it led to the login page, even when the site was open again.
    if (user && logins > loaded && at >= logins - TOLERANCE) return true;
    if (began > loaded) return at >= began - TOLERANCE && (ended < began || at <= ended + TOLERANCE);
    return ended > loaded && at <= ended + TOLERANCE;
  };

  document.querySelectorAll("form[data-backsoon-draft]").forEach(begin);
})();
