/* Small helps of the form of a planned closure. Everything works without this file: the server
   says what does not fit together. */
"use strict";

{
  const choices = [...document.querySelectorAll("input[name=ends]")];
  const end = document.querySelector("input[name=ends_at]");

  // Whoever types an end means that end.
  if (end) {
    end.addEventListener("input", () => {
      const at = choices.find((choice) => choice.value === "at");
      if (at && end.value) {
        at.checked = true;
      }
    });
  }

  // What will happen is read first, by eye and by ear.
  const outlook = document.getElementById("backsoon-outlook");
  if (outlook && !document.getElementById("backsoon-problems")) {
    outlook.focus();
  }
}
