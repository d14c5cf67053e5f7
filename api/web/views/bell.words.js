import { addWords } from "../lib/words.js";

addWords({
  ru: {
    "bell.label": { one: "Уведомления: {count} новое", few: "Уведомления: {count} новых", many: "Уведомления: {count} новых", other: "Уведомления: {count} новых" }, "bell.title": "Уведомления", "bell.empty": "Пока ничего не произошло.", "bell.because": "Причина: {reason}",
    "bell.told.booking.confirmed": "Забронировано", "bell.told.booking.moved": "Перенесено", "bell.told.booking.cancelled": "Отменено", "bell.told.booking.checked-in": "Вы отметились",
    "bell.told.booking.released": "Снято: никто не отметился", "bell.told.booking.affected": "Изменения в коворкинге задели бронь", "bell.told.booking.reminder": "Скоро начнётся",
    "bell.told.waitlist.joined": "Вы в очереди", "bell.told.waitlist.promoted": "Место из очереди ваше", "bell.told.waitlist.left": "Вы вышли из очереди", "bell.told.waitlist.expired": "Ожидание закончилось",
  },
  en: {
    "bell.label": { one: "Notifications: {count} new", other: "Notifications: {count} new" }, "bell.title": "Notifications", "bell.empty": "Nothing has happened yet.", "bell.because": "Reason: {reason}",
    "bell.told.booking.confirmed": "Booked", "bell.told.booking.moved": "Moved", "bell.told.booking.cancelled": "Cancelled", "bell.told.booking.checked-in": "You have checked in",
    "bell.told.booking.released": "Released: nobody checked in", "bell.told.booking.affected": "A change in the coworking touches a booking", "bell.told.booking.reminder": "Begins soon",
    "bell.told.waitlist.joined": "You stand in line", "bell.told.waitlist.promoted": "The place that you wait for is yours", "bell.told.waitlist.left": "You have left the line", "bell.told.waitlist.expired": "Waiting is over",
  },
});
