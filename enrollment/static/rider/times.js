// Times in the page are UTC; say them by this phone's clock.
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    time.textContent = moment.toLocaleString(document.documentElement.lang, {
      dateStyle: "medium", timeStyle: "short",
    });
    time.title = time.dateTime;
  }
}
